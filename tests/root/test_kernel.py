"""vmlinuz, the initrd and its modules come out of one package, so that they cannot but fit."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from builds import digest_of, initrd_modules

pytestmark = [pytest.mark.root, pytest.mark.network]


def release_of(vmlinuz: Path) -> str:
    """The release that a kernel says of itself: Documentation/arch/x86/boot.rst, `kernel_version` at 0x20e."""
    image = vmlinuz.read_bytes()
    (offset,) = struct.unpack_from("<H", image, 0x20E)
    return image[0x200 + offset :].split(b" ", 1)[0].decode()


def _releases(built_images: Path) -> list[str]:
    return sorted(path.name.removeprefix("vmlinuz-") for path in built_images.glob("vmlinuz-*"))


def test_kernel_modules_and_initrd_have_one_release(built_images: Path, tmp_path: Path) -> None:
    releases = _releases(built_images)
    assert len(releases) == 2
    for release in releases:
        assert release_of(built_images / f"vmlinuz-{release}") == release
        folder = tmp_path / release
        folder.mkdir()
        modules = initrd_modules(built_images / f"initrd.img-{release}", folder)
        assert [path.name for path in (modules / "modules").iterdir()] == [release]
        files = sorted((modules / "modules" / release).rglob("*.ko*"))
        assert len(files) > 40
        says = subprocess.run(["modinfo", "-F", "vermagic", *files], check=True, capture_output=True, text=True).stdout
        assert {line.split()[0] for line in says.splitlines()} == {release}
        assert len(says.splitlines()) == len(files)


def test_kernel_and_modules_are_the_files_of_the_kernel_package(
    built_images: Path, tmp_path: Path, package_cache: Path
) -> None:
    (release,) = (release for release in _releases(built_images) if "-cloud-" in release)
    (package,) = package_cache.glob(f"archives/linux-image-{release}_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path / "package"], check=True)
    assert digest_of(built_images / f"vmlinuz-{release}") == digest_of(tmp_path / f"package/boot/vmlinuz-{release}")
    modules = initrd_modules(built_images / f"initrd.img-{release}", tmp_path)
    ours = {path.relative_to(modules): digest_of(path) for path in modules.rglob("*.ko")}
    theirs = {path: digest_of(tmp_path / "package/lib" / path) for path in ours}
    assert ours == theirs
