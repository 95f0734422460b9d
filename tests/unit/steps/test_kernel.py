"""Kernel packages of every layout become one layout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from elf_files import kernel_module
from imagebuilder.errors import ImagebuilderError
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps import kernel
from imagebuilder.steps.kernel import Kernel
from machine import PlainMachine
from mirror import make_package

RELEASE = "6.1.0-1-amd64"
BOOT = {
    f"boot/vmlinuz-{RELEASE}": b"image",
    f"boot/config-{RELEASE}": b"# comment\nCONFIG_RD_ZSTD=y\n",
    f"boot/System.map-{RELEASE}": b"",
}
MODULE = kernel_module("name=loop")


def _kernel(tmp_path: Path, *packages: dict[str, bytes]) -> Path:
    (tmp_path / "archives").mkdir()
    debs = []
    for number, files in enumerate(packages):
        package = make_package(tmp_path, f"linux-{number}", "1", files=files)
        package.file.rename(tmp_path / "archives" / package.file.name)
        debs.append(Deb(f"linux-{number}", "1", "amd64", 0, ""))
    output = tmp_path / "output"
    output.mkdir()
    Kernel(RELEASE, tuple(debs)).run(PlainMachine(tmp_path), {}, output)
    return output


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("lib", ["lib", "usr/lib"])
def test_modules_are_found_below_lib_and_below_usr(tmp_path: Path, lib: str) -> None:
    name = f"lib/modules/{RELEASE}/kernel/loop.ko"
    package = {**BOOT, f"{lib.removesuffix('lib')}{name}": MODULE, "usr/share/doc/linux/copyright": b""}
    output = _kernel(tmp_path, package)
    assert _files(output) == {*BOOT, f"usr/{name}", ".copyright/linux/copyright"}
    image = tmp_path / "image"
    kernel.KernelImage(RELEASE).run(PlainMachine(tmp_path), {"kernel": (output,)}, image)
    assert image.read_bytes() == b"image"
    assert "CONFIG_RD_ZSTD=y" in kernel.config(output, RELEASE)


def test_modules_may_come_in_packages_of_their_own_and_compressed_with_zstd(tmp_path: Path) -> None:
    packed = subprocess.run(["zstd", "-qc"], input=MODULE, capture_output=True, check=True).stdout
    folder = f"lib/modules/{RELEASE}/kernel"
    output = _kernel(tmp_path, BOOT, {f"{folder}/a.ko.zst": packed}, {f"{folder}/extra/b.ko.xz": b"left as it is"})
    assert _files(output) == {*BOOT, f"usr/{folder}/a.ko", f"usr/{folder}/extra/b.ko.xz"}
    assert (output / f"usr/{folder}/a.ko").read_bytes() == MODULE


@pytest.mark.parametrize(
    "files", [BOOT, {f"lib/modules/{RELEASE}/a.ko": MODULE}, {**BOOT, "lib/modules/6.2/a.ko": MODULE}]
)
def test_package_without_this_kernel_or_its_modules_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    with pytest.raises(ImagebuilderError, match=f"`linux-0` does not hold the kernel `{RELEASE}` and its modules"):
        _kernel(tmp_path, files)
