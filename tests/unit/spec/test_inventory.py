"""The inventory `hosts`: build roots by kind of image, and variables."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.inventory import Inventory, load_inventory

INVENTORIES: tuple[tuple[str, str, Inventory], ...] = (
    ("empty", "", Inventory({}, {})),
    (
        "ours",
        """
        # don't mind
        ; don't mind either
        [initrd_build_chroot]
        /run/i   # a comment
        [overlay_build_chroot]
        /run/o ansible_connection=chroot
        /run/second
        [on_imagebuild:children]
        initrd_build_chroot
        """,
        Inventory({"initrd": Path("/run/i"), "overlay": Path("/run/o")}, {}),
    ),
    (
        "2015",
        """
        [build_local]
        localhost                ansible_connection=local
        [initrd_build_env_chroot]
        /tmp/x/initrd/rootfs     ansible_connection=chroot
        [basefs_build_chroot]
        "/tmp/with space"        ansible_connection=chroot
        [on_imagebuild:vars]
        build_artifact_path=/tmp/x/builds
        site = 'a b'
        """,
        Inventory(
            {"initrd": Path("/tmp/x/initrd/rootfs"), "base": Path("/tmp/with space")},
            {"build_artifact_path": "/tmp/x/builds", "site": "a b"},
        ),
    ),
)


@pytest.mark.parametrize(("name", "text", "expected"), INVENTORIES, ids=[name for name, _, _ in INVENTORIES])
def test_inventory_gives_build_roots_and_variables(tmp_path: Path, name: str, text: str, expected: Inventory) -> None:
    (tmp_path / "hosts").write_text(dedent(text))
    assert load_inventory(tmp_path / "hosts") == expected


def test_tree_needs_no_inventory(tmp_path: Path) -> None:
    assert load_inventory(tmp_path / "hosts") == Inventory({}, {})
    assert load_inventory(tmp_path) == Inventory({}, {})


def test_line_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text('[a]\n\n/x "unclosed\n')
    with pytest.raises(SpecError) as caught:
        load_inventory(tmp_path / "hosts")
    assert caught.value.location == Location(tmp_path / "hosts", 3)
