"""Which files of an artifact folder boot together, and what is said when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.boot.artifacts import Artifacts, Selection, select
from imagebuilder.errors import UserError
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import Layer, Manifest

METAL, CLOUD = "6.1.0-10-amd64", "6.1.0-10-cloud-amd64"
BUILT = (
    f"vmlinuz-{METAL}",
    f"initrd.img-{METAL}",
    f"base.bookworm.{METAL}.squashfs.img",
    "discovery.overlay.cpio.gz",
    "raid.overlay.squashfs",
    "SHA256SUMS",
    ".lock",
)


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).touch()
    return root


def test_the_one_kernel_and_the_one_base_need_no_name(tmp_path: Path) -> None:
    folder = _folder(tmp_path, *BUILT)
    assert select(folder, Selection()) == Artifacts(folder, BUILT[0], BUILT[1], BUILT[2], ())


def test_overlays_keep_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    found = select(_folder(tmp_path, *BUILT, "odd.cpio"), Selection(overlays=("raid", "odd.cpio", "discovery")))
    assert found.overlays == ("raid.overlay.squashfs", "odd.cpio", "discovery.overlay.cpio.gz")


@pytest.mark.parametrize(
    ("more", "kernel"),
    [
        ((f"vmlinuz-{CLOUD}", f"initrd.img-{CLOUD}"), CLOUD),
        (("vmlinuz-6.1.0-9-amd64", "initrd.img-6.1.0-9-amd64"), METAL),
        (("vmlinuz-6.12.3-amd64", "initrd.img-6.12.3-amd64"), "6.12.3-amd64"),
        (("vmlinuz-6.12.3-amd64",), METAL),
    ],
    ids=["for virtual machines", "newer", "newer by number", "has an initrd"],
)
def test_of_several_kernels_the_fitting_one_is_taken(tmp_path: Path, more: tuple[str, ...], kernel: str) -> None:
    found = select(_folder(tmp_path, *BUILT, *more), Selection())
    assert (found.kernel, found.initrd) == (f"vmlinuz-{kernel}", f"initrd.img-{kernel}")


def test_a_kernel_can_be_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path, *BUILT, f"vmlinuz-{CLOUD}", f"initrd.img-{CLOUD}")
    assert select(folder, Selection(kernel=METAL)).kernel == f"vmlinuz-{METAL}"


def test_of_one_base_for_several_suites_and_kernels_that_of_the_kernel_is_taken(tmp_path: Path) -> None:
    folder = _folder(tmp_path, *BUILT, "base.trixie.6.12.3-amd64.squashfs.img")
    assert select(folder, Selection()).base == f"base.bookworm.{METAL}.squashfs.img"
    named = Selection(base="base.trixie.6.12.3-amd64.squashfs.img")
    assert select(folder, named).base == "base.trixie.6.12.3-amd64.squashfs.img"


def test_of_two_bases_one_has_to_be_named(tmp_path: Path) -> None:
    folder = _folder(tmp_path, *BUILT, f"small.bookworm.{METAL}.squashfs.img")
    with pytest.raises(UserError, match="more than one base") as caught:
        select(folder, Selection())
    assert caught.value.hint == "--base base, --base small"
    assert select(folder, Selection(base="small")).base == f"small.bookworm.{METAL}.squashfs.img"


@pytest.mark.parametrize(
    ("names", "wanted", "message", "hint"),
    [
        (BUILT[2:], Selection(), "has no kernel with an initrd", "common/initrd_wrapper.yml"),
        (BUILT[:2], Selection(), "has no base", "nothing that --base could name"),
        (BUILT, Selection(base="bse"), "no base `bse`", "--base base"),
        (BUILT, Selection(overlays=("raid", "disc")), "no overlay `disc`", "--overlay discovery, --overlay raid"),
        (BUILT, Selection(kernel="5.10"), "no kernel `5.10`", f"--kernel {METAL}"),
    ],
)
def test_what_is_not_there_is_named_with_what_is(
    tmp_path: Path, names: tuple[str, ...], wanted: Selection, message: str, hint: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        select(_folder(tmp_path, *names), wanted)
    assert hint in str(caught.value.hint)


def test_a_folder_that_is_not_there_says_who_makes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no artifact folder") as caught:
        select(tmp_path / "builds", Selection())
    assert "imagebuilder build" in str(caught.value.hint)


def test_manifest_is_taken_that_names_just_what_was_chosen(tmp_path: Path) -> None:
    folder = _folder(tmp_path, *BUILT)
    kernel, initrd, base = f"vmlinuz-{METAL}", f"initrd.img-{METAL}", f"base.bookworm.{METAL}.squashfs.img"
    for name, overlays in (("base", ()), ("discovery", ("discovery.overlay.cpio.gz",))):
        titles = (kernel, initrd, base, *overlays)
        layers = tuple(Layer("a/type", title, Blob("0" * 64, 1)) for title in titles)
        (folder / f"{name}.manifest.json").write_bytes(Manifest(layers, "").to_bytes())
    assert select(folder, Selection()).manifest == "base.manifest.json"
    assert select(folder, Selection(overlays=("discovery",))).manifest == "discovery.manifest.json"
    assert select(folder, Selection(overlays=("raid",))).manifest is None
