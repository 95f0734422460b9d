"""Packages out of dpkg's database, as package URLs and as JSON."""

from __future__ import annotations

import pytest
from packageurl import PackageURL

from imagebuilder.sbom.packages import Identity, Package, PackageList, installed, stanzas

STATUS = """\
Package: busybox
Status: install ok installed
Architecture: amd64
Source: busybox-src (1:1.35.0-4)
Version: 1:1.35.0-4+b1
Conffiles:
 /etc/x 0123
Description: a shell
 .
 and more

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc6
Status: hold ok installed
Architecture: i386
Source: glibc
Version: 2.36-9~a
"""
BUSYBOX = Package(Identity("busybox", "amd64", "1:1.35.0-4+b1"), "busybox-src", "1:1.35.0-4")
LIBC = Package(Identity("libc6", "i386", "2.36-9~a"), "glibc", "2.36-9~a")
PURLS = {
    BUSYBOX: "pkg:deb/debian/busybox@1:1.35.0-4%2Bb1?arch=amd64&distro=bookworm",
    LIBC: "pkg:deb/debian/libc6@2.36-9~a?arch=i386&distro=bookworm",
    Package(Identity("g++", "amd64", "1"), "gcc", "1"): "pkg:deb/debian/g%2B%2B@1?arch=amd64&distro=bookworm",
}


def test_installed_packages_have_their_source() -> None:
    assert installed(STATUS) == {("busybox", "amd64"): BUSYBOX, ("libc6", "i386"): LIBC}


def test_fields_may_have_further_lines() -> None:
    first = next(stanzas(STATUS))
    assert first["Conffiles"] == "\n /etc/x 0123"
    assert list(first)[-1] == "Description"
    assert list(stanzas("\n\n \n")) == []


@pytest.mark.parametrize("package", PURLS)
def test_package_url_is_as_its_own_library_writes_it(package: Package) -> None:
    listed = PackageList("debian", "bookworm", (package,))
    assert listed.purl(package) == PURLS[package]
    for purl in (listed.purl(package), listed.source_purl(package)):
        assert PackageURL.from_string(purl).to_string() == purl


def test_list_is_kept_as_json() -> None:
    one = Package(LIBC.identity, "glibc", "1", "00", "MIT", ("Expat",), "a\ntext")
    listed = PackageList("debian", "bookworm", (BUSYBOX, one), (LIBC.identity,))
    assert PackageList.from_json(listed.to_json()) == listed
