"""A tree and its lock: what is taken from it, and every difference with its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from image_tree import BASE, OVERLAY, read_tree, write_tree
from imagebuilder.errors import SpecError, UserError
from imagebuilder.plan.lock import lock_of, refuse_stale, resolution_of, stale, standing, unchanged
from imagebuilder.plan.requests import asks_of
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.lock import Lock
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Resolution
from imagebuilder.resolve.sources import published
from imagebuilder.spec.tree import TreeSpec, load_image, load_tree

KVER = "6.1.0-35-amd64"
INITRD = "- import_playbook: common/initrd_wrapper.yml\n  vars: {config_file: vars/initrd.yml}\n"
Y = OVERLAY.replace("x.yml", "y.yml")
FILES = {
    "all.yml": BASE + OVERLAY + Y + INITRD,
    "group_vars/on_imagebuild": "a: 1\nkernel_package: linux-image-amd64\nrepository_lists:\n  - deb http://v v main\n",
    "vars/base.yml": "image:\n  packages:\n    - less\n    - jq\n  debs:\n    - debs/a.deb\n",
    "vars/x.yml": "provisioner: roles/r\nimage:\n  packages: [lshw]\n  files:\n    - {src: files/motd, dest: /m}\n",
    "vars/y.yml": "image:\n  base: x\n  packages: [pciutils]\n",
    "vars/initrd.yml": "image:\n  profile: virt\n",
    "roles/r/tasks/main.yml": "- copy: {src: '{{ playbook_dir }}/files/motd', dest: /etc/motd}",
    "files/motd": "m",
    "debs/a.deb": "a",
}


def _deb(name: str) -> Deb:
    return Deb(name, "1", "amd64", 1, "0" * 64)


def _resolution(tree: TreeSpec, **changes: Any) -> Resolution:
    kernel = Kernel(KVER, (_deb(f"linux-image-{KVER}"),))
    given: dict[str, Any] = {
        "published": published(tree.settings),
        "kernel": kernel,
        "images": {image.name: ImagePackages(install=(_deb(f"of-{image.name}"),)) for image in tree.images},
        "python": (_deb("python3"),),
        "bases": {},
        "epoch": 5,
        **changes,
    }
    return Resolution(**given)


def _locked(root: Path, files: Mapping[str, str] | None = None, **changes: Any) -> tuple[TreeSpec, Lock]:
    tree = read_tree(root, {**FILES, **(files or {})})
    return tree, lock_of(tree, _resolution(tree, **changes), {})


def test_lock_gives_back_what_went_in(tmp_path: Path) -> None:
    tree, lock = _locked(tmp_path)
    assert resolution_of(lock, tree) == _resolution(tree)
    assert resolution_of(lock, tree, epoch=0).epoch == 0
    assert stale(lock, tree) == ()
    refuse_stale(lock, tree)


def test_one_image_takes_its_part_of_the_lock(tmp_path: Path) -> None:
    _, lock = _locked(tmp_path)
    tree = load_image(tmp_path, "initrd", "vars/initrd.yml", None, {})
    assert stale(lock, tree) == ()
    resolution = resolution_of(lock, tree)
    assert resolution.images.keys() == {"initrd"}
    assert resolution.python == ()  # no image of these has a role


def test_one_overlay_is_made_on_the_artifact_of_the_base_that_is_locked_with_it(tmp_path: Path) -> None:
    _, lock = _locked(tmp_path, {"group_vars/on_imagebuild": "build_artifact_path: out\n"})
    tree = load_image(tmp_path, "overlay", "vars/x.yml", None, {})
    with pytest.raises(SpecError, match=f"out/base.bookworm.{KVER}.squashfs.img does not exist"):
        stale(lock, tree)
    artifact = tmp_path / f"out/base.bookworm.{KVER}.squashfs.img"
    write_tree(tmp_path, {str(artifact.relative_to(tmp_path)): "any"})
    assert stale(lock, tree) == ()
    assert resolution_of(lock, tree).bases == {"base": artifact}


def test_other_playbook_of_locked_images_may_be_built(tmp_path: Path) -> None:
    _, lock = _locked(tmp_path)
    write_tree(tmp_path, {"other.yml": INITRD + BASE})
    assert stale(lock, load_tree(tmp_path / "other.yml", {})) == ()


STALE: tuple[tuple[str, dict[str, str], list[str]], ...] = (
    (
        "a package",
        {"vars/base.yml": FILES["vars/base.yml"].replace("less", "htop")},
        ["vars/base.yml:3: `packages`: `htop` new; `less` gone"],
    ),
    (
        "a pin",
        {"vars/x.yml": FILES["vars/x.yml"].replace("[lshw]", "[lshw=1]")},
        ["vars/x.yml:3: `packages`: `lshw=1` new; `lshw` gone"],
    ),
    ("no package", {"vars/y.yml": "image:\n  base: x\n"}, ["vars/y.yml:1: `packages`: `pciutils` gone"]),
    (
        "the order",
        {"vars/base.yml": FILES["vars/base.yml"].replace("less\n    - jq", "jq\n    - less")},
        ["vars/base.yml:2: `packages`: in another order"],
    ),
    ("a package of the tree", {"debs/a.deb": "b"}, ["vars/base.yml:5: `debs`: `debs/a.deb` changed"]),
    (
        "the base",
        {"vars/y.yml": "image:\n  base: base\n  packages: [pciutils]\n"},
        ["vars/y.yml:2: `base`: `base` new; `x` gone"],
    ),
    (
        "firmware",
        {"vars/initrd.yml": "image:\n  firmware: false\n"},
        ["vars/initrd.yml:2: `firmware`: locked `true`, now `false`"],
    ),
    (
        "an initrd's kernel",
        {"vars/initrd.yml": "image:\n  kernel_package: k\n"},
        ["vars/initrd.yml:2: `kernel_package`: locked `linux-image-amd64`, now `k`"],
    ),
    (
        "the tree's kernel",
        {"group_vars/on_imagebuild": FILES["group_vars/on_imagebuild"].replace("linux-image-amd64", "k")},
        ["group_vars/on_imagebuild:2: `kernel_package`: locked `linux-image-amd64`, now `k`"],
    ),
    (
        "a source",
        {"group_vars/on_imagebuild": FILES["group_vars/on_imagebuild"].replace("http://v", "http://w")},
        ["group_vars/on_imagebuild:3: `repository_lists`: `deb http://w v main` new; `deb http://v v main` gone"],
    ),
    (
        "a snapshot",
        {"group_vars/on_imagebuild": FILES["group_vars/on_imagebuild"] + "snapshot: 20260101T000000Z\n"},
        ["group_vars/on_imagebuild:5: `snapshot`: locked nothing, now `20260101T000000Z`"],
    ),
    (
        "a mirror",
        {"group_vars/on_imagebuild": FILES["group_vars/on_imagebuild"] + "apt_server: near\n"},
        [],
    ),
    ("a profile, which brings no package", {"vars/initrd.yml": "image:\n  profile: metal\n"}, []),
    (
        "a file",
        {"files/motd": "n"},
        ["vars/x.yml:1: `provisioner`: `files` changed", "vars/x.yml:5: `files`: `files/motd` changed"],
    ),
    (
        "a role",
        {"roles/r/tasks/main.yml": FILES["roles/r/tasks/main.yml"] + " # more"},
        ["vars/x.yml:1: `provisioner`: `roles/r` changed"],
    ),
    (
        "a role more",
        {"vars/y.yml": "provisioner: roles/r\n" + FILES["vars/y.yml"]},
        ["vars/y.yml:1: `provisioner`: `files` new", "vars/y.yml:1: `provisioner`: `roles/r` new"],
    ),
    (
        "an image more",
        {"all.yml": FILES["all.yml"] + OVERLAY.replace("x.yml", "z.yml"), "vars/z.yml": "image: {run: [a]}"},
        ["all.yml:9: `z`: is not in the lock, which is that of `all.yml`"],
    ),
    (
        "an image less",
        {"all.yml": BASE + OVERLAY + Y},
        ["all.yml: `initrd`: is in the lock and no longer in the playbook"],
    ),
)


@pytest.mark.parametrize(("name", "files", "expected"), STALE, ids=[name for name, *_ in STALE])
def test_difference_is_told_with_its_place(
    tmp_path: Path, name: str, files: dict[str, str], expected: list[str]
) -> None:
    _, lock = _locked(tmp_path)
    tree = read_tree(tmp_path, {**FILES, **files})
    assert [str(difference) for difference in stale(lock, tree)] == [f"{tmp_path}/{text}" for text in expected]
    if expected:
        with pytest.raises(UserError) as caught:
            refuse_stale(lock, tree)
        assert caught.value.exit_code == 2
        assert all(text in caught.value.message for text in expected)
        assert "`imagebuilder lock`" in (caught.value.hint or "")


def test_what_the_program_itself_asks_for_counts(tmp_path: Path) -> None:
    tree, lock = _locked(tmp_path)
    (difference,) = stale(replace(lock, program={**lock.program, "initrd": ["busybox"]}), tree)
    assert difference.location.file == tmp_path / "imagebuilder.lock"
    assert "`busybox-static` new; `busybox` gone in what imagebuilder itself needs" in str(difference)


def test_initrd_that_a_role_makes_in_a_build_root_asks_for_one(tmp_path: Path) -> None:
    tree = read_tree(tmp_path, {**FILES, "vars/initrd.yml": "provisioner: roles/r\n"})
    image = tree.images[-1]
    assert image.provisioner
    assert "build_root" not in asks_of(tree, image, {})
    hooked = replace(image, provisioner=replace(image.provisioner, on_build_root=True))
    assert asks_of(tree, hooked, {})["build_root"] is True


def test_base_of_an_earlier_build_counts_as_it_is(tmp_path: Path) -> None:
    files = {"all.yml": OVERLAY, "group_vars/on_imagebuild": "build_artifact_path: out\n"}
    artifact = f"out/base.bookworm.{KVER}.squashfs.img"
    write_tree(tmp_path, {artifact: "one"})
    tree, lock = _locked(tmp_path, files, bases={"base": tmp_path / artifact})
    assert stale(lock, tree) == ()
    write_tree(tmp_path, {artifact: "two"})
    assert [str(d) for d in stale(lock, tree)] == [f"{tmp_path}/vars/x.yml:2: `base`: `base` changed"]
    assert unchanged(lock, tree) == set()


UNCHANGED: tuple[tuple[str, dict[str, str], set[str]], ...] = (
    ("nothing", {}, {"base", "x", "y", "initrd"}),
    ("a file", {"files/motd": "n"}, {"base", "x", "y", "initrd"}),
    ("the topmost", {"vars/y.yml": "image: {base: x}"}, {"base", "x", "initrd"}),
    ("what is below another", {"vars/x.yml": "image: {packages: [less]}"}, {"base", "initrd"}),
    ("what is below all", {"vars/base.yml": "image:"}, {"initrd"}),
    ("the sources", {"group_vars/on_imagebuild": ""}, set()),
)


@pytest.mark.parametrize(("name", "files", "expected"), UNCHANGED, ids=[name for name, *_ in UNCHANGED])
def test_image_is_answered_as_long_as_all_below_it_are(
    tmp_path: Path, name: str, files: dict[str, str], expected: set[str]
) -> None:
    _, lock = _locked(tmp_path)
    tree = read_tree(tmp_path, {**FILES, **files})
    assert unchanged(lock, tree) == expected
    assert standing(tree, {"x", "y"}) == set()
