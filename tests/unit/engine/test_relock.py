"""Bringing a lock up to date: what stays, what is found anew, and when the mirror is asked at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from image_tree import BASE, OVERLAY, read_tree
from imagebuilder.engine.packages import Packages
from imagebuilder.engine.relock import relock
from imagebuilder.engine.resolve import Kept
from imagebuilder.errors import UserError
from imagebuilder.plan.lock import lock_of
from imagebuilder.resolve import archives
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.lock import Lock
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Resolution
from imagebuilder.resolve.sources import published
from imagebuilder.spec.tree import TreeSpec

Y = OVERLAY.replace("x.yml", "y.yml")
INITRD = "- import_playbook: common/initrd_wrapper.yml\n  vars: {config_file: vars/initrd.yml}\n"
FILES = {
    "all.yml": BASE + OVERLAY + Y + INITRD,
    "vars/base.yml": "image: {packages: [less]}",
    "vars/x.yml": "image: {packages: [lshw], files: [{src: motd, dest: /m}]}",
    "vars/y.yml": "provisioner: roles/r\nimage: {packages: [jq]}",
    "roles/r/tasks/main.yml": "[]",
    "vars/initrd.yml": "image:",
    "motd": "m",
}


def _deb(name: str, version: str = "1") -> Deb:
    return Deb(name, version, "amd64", 1, "0" * 64)


KERNEL = Kernel("6.1-1", (_deb("linux-image-6.1-1"),))
NEWER = Kernel("6.1-2", (_deb("linux-image-6.1-2", "2"),))
INSTALLED = {"base": ("less", "libc6"), "x": ("lshw",), "y": ("jq", "libjq1")}


def _resolution(tree: TreeSpec, version: str, kernel: Kernel, epoch: int) -> Resolution:
    images = {name: ImagePackages(tuple(_deb(n, version) for n in names)) for name, names in INSTALLED.items()}
    images["initrd"] = ImagePackages(userland=(_deb("busybox-static", version),), kernel=kernel)
    return Resolution(published(tree.settings), kernel, images, (_deb("python3", version),), {}, epoch)


class Asked:
    """Stands where `Packages` stands: resolves to version 2 of all that need not be kept, and keeps what it was asked.

    `gone` are the packages that the mirror has no more.
    """

    def __init__(self, folder: Path) -> None:
        self.archives = folder / "archives"
        self.kept: Kept | None = None
        self.held = ""
        self.gone: set[str] = set()
        self.lists = folder / "lists"

    @property
    def apt(self) -> Asked:
        return self

    def opened(self) -> Asked:
        return self

    def known(self, debs: Sequence[Deb]) -> frozenset[Deb]:
        return frozenset(deb for deb in debs if deb.name not in self.gone)

    def resolve(self, tree: TreeSpec, kept: Kept, held: str) -> Resolution:
        self.kept, self.held = kept, held
        return _resolution(tree, "2", NEWER, 9)


def _old(root: Path) -> tuple[TreeSpec, Lock]:
    tree = read_tree(root, FILES)
    return tree, lock_of(tree, _resolution(tree, "1", KERNEL, 5), {"bookworm": ("then",)})


def _asked(root: Path, changes: Mapping[str, str], *upgrade: str, gone: Sequence[str] = (), **extra: Any) -> Kept:
    _, old = _old(root)
    tree = read_tree(root, {**FILES, **changes}, **extra)
    packages = Asked(root)
    packages.gone = set(gone)
    relock(tree, old, upgrade or None, cast(Packages, packages))
    assert packages.kept is not None
    return packages.kept


@pytest.mark.parametrize(
    "changes", [{}, {"motd": "n"}, {"all.yml": BASE + Y}, {"vars/initrd.yml": "image: {profile: virt}"}]
)
def test_mirror_is_not_asked_as_long_as_no_package_has_to_be_found(tmp_path: Path, changes: dict[str, str]) -> None:
    before, old = _old(tmp_path)
    tree = read_tree(tmp_path, {**FILES, **changes})
    packages = Asked(tmp_path)
    new = relock(tree, old, None, cast(Packages, packages))
    assert packages.kept is None
    assert new == lock_of(tree, _resolution(before, "1", KERNEL, 5), {"bookworm": ("then",)})


def test_first_lock_and_upgrade_of_all_keep_nothing(tmp_path: Path) -> None:
    tree, old = _old(tmp_path)
    for lock, upgrade in ((None, None), (old, ())):
        packages = Asked(tmp_path)
        assert relock(tree, lock, upgrade, cast(Packages, packages)).epoch == 9
        assert packages.kept == Kept()


@pytest.mark.parametrize(
    "setting", [{"debootstrap_release": "trixie"}, {"debootstrap_arch": "arm64"}, {"snapshot": "20260101T000000Z"}]
)
def test_in_another_world_no_version_means_anything(tmp_path: Path, setting: dict[str, str]) -> None:
    assert _asked(tmp_path, {}, **setting) == Kept()


def test_other_images_their_kernel_and_the_time_stay(tmp_path: Path) -> None:
    kept = _asked(tmp_path, {"vars/x.yml": "image: {packages: [lshw, tree]}"})
    assert kept.images.keys() == {"base", "y", "initrd"}
    assert kept.kernels == {"linux-image-amd64": KERNEL}
    assert kept.python == (_deb("python3"),)
    assert kept.epoch == 5
    assert kept.versions["x"] == {"lshw": "1"}


def test_overlays_are_found_anew_on_a_base_that_changes(tmp_path: Path) -> None:
    kept = _asked(tmp_path, {"vars/base.yml": "image: {packages: [less, tree]}"})
    assert kept.images.keys() == {"initrd"}
    assert kept.versions["base"] == {"less": "1", "libc6": "1"}


def test_upgrade_frees_the_package_wherever_it_is(tmp_path: Path) -> None:
    kept = _asked(tmp_path, {}, "jq", "less")
    assert kept.images.keys() == {"initrd"}
    assert kept.versions["base"] == {"libc6": "1"}
    assert kept.versions["y"] == {"libjq1": "1"}


@pytest.mark.parametrize("name", ["linux-image-amd64", "linux-image-6.1-1"])
def test_upgrade_of_a_kernel_is_asked_by_either_name(tmp_path: Path, name: str) -> None:
    kept = _asked(tmp_path, {}, name)
    assert kept.kernels == {}
    assert kept.images.keys() == {"base", "x", "y"}


def test_package_that_is_gone_is_found_anew_once_something_has_to_be(tmp_path: Path) -> None:
    kept = _asked(tmp_path, {"vars/x.yml": "image:"}, gone=["libjq1", "python3"])
    assert kept.images.keys() == {"base", "initrd"}
    assert kept.versions["y"] == {"jq": "1"}
    assert kept.python == ()


def test_package_that_only_this_machine_has_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagebuilder.engine.relock.is_whole", lambda folder, deb: deb.name == "libjq1")
    monkeypatch.setattr("imagebuilder.engine.relock.stanza", lambda folder, deb: f"{folder.name}/{deb.name}")
    _, old = _old(tmp_path)
    tree = read_tree(tmp_path, {**FILES, "vars/x.yml": "image:"})
    packages = Asked(tmp_path)
    packages.gone = {"libjq1", "lshw"}
    relock(tree, old, None, cast(Packages, packages))
    assert packages.held == "archives/libjq1"
    assert packages.kept
    assert "y" in packages.kept.images
    assert packages.kept.versions["x"] == {}


def test_name_that_is_not_locked_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    tree, old = _old(tmp_path)
    for name, hint in (("libjq", "did you mean `libjq1`?"), ("all.yml", "a playbook is named first")):
        with pytest.raises(UserError, match=f"there is no package `{name}` in imagebuilder.lock") as caught:
            relock(tree, replace(old), [name], cast(Packages, None))
        assert hint in (caught.value.hint or "")


def test_file_is_whole_when_it_is_byte_for_byte_what_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "a_1_amd64.deb").write_bytes(b"a")
    right = Deb("a", "1", "amd64", 1, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb")
    wrong = [replace(right, sha256="0" * 64), replace(right, size=2), replace(right, version="2")]
    assert archives.missing(tmp_path, [right, *wrong]) == tuple(wrong)
