"""Vendors' overlays, really built: from a package that stands in for the vendor's, and refused without it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from builds import Site, default_site
from mirror import make_package

pytestmark = [pytest.mark.root, pytest.mark.network]

STORCLI = "opt/MegaRAID/storcli/storcli64"
PERCCLI = "opt/MegaRAID/perccli/perccli64"
RAID = ("--kind", "overlay", "--config-file", "vars/oem/raid.yml")
SECURE_ERASE = ("--kind", "overlay", "--config-file", "vars/oem/secure_erase.yml")


@pytest.fixture
def site(tmp_path: Path, built_images: Path, package_cache: Path) -> Site:
    """A copy of the default tree, whose base was built before."""
    site = default_site(tmp_path, package_cache)
    site.builds.mkdir()
    for base in built_images.glob("base.*.squashfs.img"):
        os.link(base, site.builds / base.name)
    return site


def _vendors_package(site: Site, name: str, program: str, content: bytes = b"#!/bin/sh\necho it runs\n") -> str:
    """Put a package with one program where the tree wants its vendor's; returns its place."""
    folder = site.tree.parent / "packages" / name
    root = folder / f"{name}_1.0" / program
    root.parent.mkdir(parents=True)
    root.touch(mode=0o755)
    package = make_package(folder, name, "1.0", files={program: content})
    place = site.tree / {"storcli": "files/oem/broadcom", "perccli": "files/oem/dell"}[name] / f"{name}.deb"
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(package.file, place)
    return str(place.relative_to(site.tree))


def _unpacked(site: Site, artifact: str, target: Path) -> Path:
    target.mkdir()
    archive = site.builds / artifact
    subprocess.run(["bsdtar", "-xpf", archive, "-C", target], check=True)
    return target


def test_raid_overlay_holds_the_vendors_program(site: Site, tmp_path: Path) -> None:
    _vendors_package(site, "storcli", STORCLI)
    site.build(*RAID)
    root = _unpacked(site, "raid.overlay.cpio.gz", tmp_path / "root")
    assert subprocess.run([root / STORCLI], capture_output=True, text=True, check=True).stdout == "it runs\n"
    assert "Package: storcli" in (root / "var/lib/dpkg/status").read_text()
    assert (root / "usr/bin/lsscsi").exists()
    assert not list(root.rglob("*.deb"))


def test_vendors_package_that_is_missing_stops_the_build_before_any_step(site: Site) -> None:
    before = {path.name for path in site.builds.iterdir()}
    done = site.run(*RAID)
    assert done.returncode == 2
    assert "vars/oem/raid.yml:" in done.stderr
    assert "`files/oem/broadcom/storcli.deb` is missing" in done.stderr
    assert "https://www.broadcom.com/support/download-search" in done.stderr
    assert " ..." not in done.stderr  # no step has said that it began
    assert {path.name for path in site.builds.iterdir()} == before


def test_package_without_the_program_is_found_out_by_the_build(site: Site) -> None:
    _vendors_package(site, "storcli", "opt/elsewhere/storcli64")
    done = site.run(*RAID)
    assert done.returncode == 1
    assert f"`/{STORCLI}` is not there or not executable" in done.stderr
    assert not (site.builds / "raid.overlay.cpio.gz").exists()


def test_program_without_its_libraries_is_found_out_by_the_build(site: Site, tmp_path: Path) -> None:
    program = tmp_path / "storcli64"
    content = Path("/bin/true").read_bytes().replace(b"libc.so.6\0", b"libx.so.6\0")
    program.write_bytes(content)
    _vendors_package(site, "storcli", STORCLI, content)
    done = site.run(*RAID)
    assert done.returncode == 1
    assert "libx.so.6 => not found" in done.stderr


def test_secure_erase_is_built_of_debians_packages(site: Site, tmp_path: Path) -> None:
    site.build(*SECURE_ERASE)
    root = _unpacked(site, "secure.erase.overlay.cpio.gz", tmp_path / "root")
    for program in ("sg_sanitize", "sg_format", "scrub", "lsscsi"):
        assert (root / "usr/bin" / program).exists()
    for program in ("hdparm", "nvme", "sgdisk"):
        assert (root / "usr/sbin" / program).exists()


def test_secure_erase_takes_vendors_packages_too(site: Site, tmp_path: Path) -> None:
    names = [_vendors_package(site, "storcli", STORCLI), _vendors_package(site, "perccli", PERCCLI)]
    debs = ", ".join(f'"{name}"' for name in names)
    site.build(*SECURE_ERASE, "-e", f'{{"vendor_debs": [{debs}]}}')
    root = _unpacked(site, "secure.erase.overlay.cpio.gz", tmp_path / "root")
    assert (root / STORCLI).exists()
    assert (root / PERCCLI).exists()
