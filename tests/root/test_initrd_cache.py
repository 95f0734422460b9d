"""Layers on a local disk: not fetched again, and never believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostile import Hostile, hostile
from imagebuilder.digest import of_bytes
from initrd_jail import BASE_NAME, OVERLAY_NAME, Ended, Image, Jail, make_jail

pytestmark = pytest.mark.root

BASE, OVERLAY = f"/{BASE_NAME}", f"/{OVERLAY_NAME}"


@pytest.fixture
def jail(tmp_path: Path) -> Jail:
    """A node of its own: its disk is the folder `disk`."""
    return make_jail(tmp_path / "root")


@pytest.fixture
def server(initrd_image: Image) -> Iterator[Hostile]:
    with hostile(initrd_image.files) as server:
        yield server


def _boot(jail: Jail, server: Hostile, label: str = "disk", script: str = "") -> Ended:
    server.asked.clear()
    ended = jail.run(
        f"{script}\nmain", f"API_CB={server.address} MANIFEST=discovery cache={label}", check="cat /newroot/etc/overlay"
    )
    assert ended.code == "booted", ended.lines
    return ended


def _cached(jail: Jail) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (jail.root / "disk/on-imagebuilder").iterdir()}


def _fetched(server: Hostile) -> list[str]:
    return [path for path in server.asked if "/blobs/" in path]


def test_second_boot_fetches_no_layer(jail: Jail, server: Hostile, initrd_image: Image) -> None:
    _boot(jail, server)
    assert len(_fetched(server)) == 2
    assert _cached(jail) == {of_bytes(initrd_image.files[path]): initrd_image.files[path] for path in (BASE, OVERLAY)}
    ended = _boot(jail, server)
    assert _fetched(server) == []
    assert sum("which was here already" in line for line in ended.lines) == 2


@pytest.mark.parametrize("damage", [b"", b"<html>", b"hsqs" * 1000])
def test_layer_that_was_damaged_is_fetched(jail: Jail, server: Hostile, initrd_image: Image, damage: bytes) -> None:
    _boot(jail, server)
    damaged = jail.root / "disk/on-imagebuilder" / of_bytes(initrd_image.files[BASE])
    damaged.write_bytes(damage)
    _boot(jail, server)
    assert len(_fetched(server)) == 1


def test_layer_that_was_damaged_is_mended(jail: Jail, server: Hostile, initrd_image: Image) -> None:
    _boot(jail, server)
    name = of_bytes(initrd_image.files[BASE])
    (jail.root / "disk/on-imagebuilder" / name).write_bytes(b"x")
    _boot(jail, server)
    assert _cached(jail)[name] == initrd_image.files[BASE]


def test_what_a_boot_that_was_cut_off_left_is_removed(jail: Jail, server: Hostile) -> None:
    (jail.root / "disk/on-imagebuilder").mkdir()
    (jail.root / "disk/on-imagebuilder/.00.part").write_bytes(b"x")
    _boot(jail, server)
    assert len(_cached(jail)) == 2


def test_full_disk_costs_old_layers_first_and_no_boot(jail: Jail, server: Hostile, initrd_image: Image) -> None:
    (jail.root / "disk/on-imagebuilder").mkdir()
    (jail.root / "disk/on-imagebuilder/old").write_bytes(bytes(300_000))
    small = "mount_cache() { mount --bind /disk /cache; limit=yes; }\n"
    # A disk with room for the two layers and nothing else.
    room = sum(len(initrd_image.files[path]) for path in (BASE, OVERLAY)) // 1024 + 100
    small += f'cp() {{ [ "$(du -sk /cache | cut -f1)" -lt {room - 100} ] && command cp "$@"; }}'
    _boot(jail, server, script=small)
    assert "old" not in _cached(jail)


def test_without_such_a_disk_the_node_boots_and_says_so(jail: Jail, server: Hostile) -> None:
    ended = _boot(jail, server, label="none")
    assert any("there is no cache: no file system called `none`" in line for line in ended.lines)
    assert len(_fetched(server)) == 2


def test_cache_is_let_go_before_the_image_starts(jail: Jail, server: Hostile) -> None:
    ended = jail.boot(
        f"API_CB={server.address} MANIFEST=discovery cache=disk", check="! grep -q ' /cache ' /proc/mounts"
    )
    assert ended.code == "booted"
