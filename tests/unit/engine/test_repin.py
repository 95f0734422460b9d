"""`--repin`: which versions are moved, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from image_tree import BASE, OVERLAY, read_tree
from imagebuilder.engine.repin import repin
from imagebuilder.errors import PackageError
from imagebuilder.plan.requests import requests_of
from imagebuilder.resolve.apt import Apt
from imagebuilder.spec.tree import TreeSpec
from imagebuilder.steps.ansible_role import role_reads
from unit.engine.test_resolve import KVER, Index

INITRD = "- include: common/initrd_wrapper.yml\n  vars: {config_file: vars/initrd.yml}\n"
FILES = {
    "all.yml": BASE + OVERLAY,
    "vars/base.yml": "image: {packages: [less]}",
    "vars/x.yml": "overlayfs_archive_name: x.overlay.cpio\nx_package_manifest:\n  - {package: lshw, version: '0.1'}\n",
}


def _repinned(root: Path, files: Mapping[str, str], index: Index | None = None) -> tuple[TreeSpec, list[str]]:
    tree, moves = repin(read_tree(root, {**FILES, **files}), cast(Apt, index or Index(root)))
    return tree, [str(move).replace(f"{root}/", "") for move in moves]


def test_pin_is_moved_in_the_keys_and_in_the_variable_that_a_role_reads(tmp_path: Path) -> None:
    tree, moves = _repinned(tmp_path, {})
    overlay = tree.images[1]
    assert moves == ["vars/x.yml:3: `lshw` 0.1 -> 1"]
    assert [str(request) for request in requests_of(overlay)] == ["lshw=1"]
    assert overlay.variables["x_package_manifest"] == [{"package": "lshw", "version": "1"}]


def test_version_that_a_role_names_is_moved_in_its_tasks_and_in_the_trees_list(tmp_path: Path) -> None:
    tree, moves = _repinned(
        tmp_path,
        {
            "group_vars/on_imagebuild": "ours:\n  - {package: less, version: '0.2'}\n  - {name: x}\n",
            "vars/x.yml": "provisioner: roles/x\n",
            "roles/x/tasks/main.yml": "- debug: msg=a\n- apt: name=lshw=0.1\n"
            '- apt: name="{{ item.package }}={{ item.version }}"\n  with_items: ours\n',
        },
    )
    overlay = tree.images[1]
    assert moves == ["roles/x/tasks/main.yml:2: `lshw` 0.1 -> 1", "group_vars/on_imagebuild:2: `less` 0.2 -> 1"]
    assert overlay.variables["ours"] == [{"package": "less", "version": "1"}, {"name": "x"}]
    assert overlay.provisioner
    reads = role_reads(tree.root, "roles/x", overlay.variables, overlay.provisioner.context)
    assert "lshw=1" in reads.translated["roles/x/tasks/main.yml"]


@pytest.mark.parametrize("request_", ["less", "less=1", "less=1*", "lesss=7"])
def test_what_is_new_already_or_unknown_stays(tmp_path: Path, request_: str) -> None:
    tree, moves = _repinned(tmp_path, {"vars/base.yml": f"image: {{packages: [{request_}]}}", "vars/x.yml": "image:"})
    assert moves == []
    assert [str(request) for request in requests_of(tree.images[0])] == [request_]


KERNELS: tuple[tuple[str, str], ...] = (
    ("3.16.0-25-amd64", f"linux-image-{KVER}"),
    ("3.16.0-25-generic", "linux-image-6.8.0-31-generic"),
    ("3.16.0-25-lowlatency", f"linux-image-{KVER}"),
)


@pytest.mark.parametrize(("version", "package"), KERNELS)
def test_kernel_that_is_gone_is_the_newest_of_its_flavour_wherever_it_is_named(
    tmp_path: Path, version: str, package: str
) -> None:
    tree, moves = _repinned(
        tmp_path,
        {
            "all.yml": INITRD + BASE,
            "group_vars/on_imagebuild": f"ubuntu_kernel_version: {version}\n"
            "basefs_image_name: base.{{ ubuntu_kernel_version }}.img\n",
            "vars/initrd.yml": "initrd_kernel_version: '{{ ubuntu_kernel_version }}'\nimage: {}\n",
        },
    )
    initrd, base = tree.images
    assert moves == [f"group_vars/on_imagebuild:1: `kernel_package` linux-image-{version} -> {package}"]
    keys: Any = initrd.keys
    assert tree.settings.kernel_package == keys.kernel_package == package
    assert base.artifact_name == f"base.{package.removeprefix('linux-image-')}.img"
    assert initrd.variables["ubuntu_kernel_version"] == package.removeprefix("linux-image-")


def test_kernel_that_is_there_stays(tmp_path: Path) -> None:
    tree, moves = _repinned(
        tmp_path, {"group_vars/on_imagebuild": f"ubuntu_kernel_version: {KVER}", "vars/x.yml": "image:"}
    )
    assert (tree.settings.kernel_package, moves) == (f"linux-image-{KVER}", [])


def test_suite_without_kernels_is_an_error(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.without = {"linux-image-amd64", "linux-image-generic"}
    with pytest.raises(PackageError, match=r"there is no kernel in the place of `linux-image-3\.2\.0-4-amd64`"):
        _repinned(tmp_path, {"group_vars/on_imagebuild": "kernel_package: linux-image-3.2.0-4-amd64"}, index)
