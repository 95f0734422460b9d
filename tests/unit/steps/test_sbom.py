"""Lists of packages out of dpkg databases and out of package files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagebuilder.resolve.deb import Deb
from imagebuilder.sbom.packages import Identity, PackageList
from imagebuilder.steps.kernel import keep_copyright
from imagebuilder.steps.sbom import InstalledPackages, UnpackedPackages
from machine import PlainMachine
from mirror import make_package

DEP5 = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: {}\n"


class StackMachine(PlainMachine):
    """Shows the topmost layer in place of a merged view."""

    @contextmanager
    def overlay(self, lower: Sequence[Path], upper: Path | None = None) -> Iterator[Path]:
        yield lower[-1]


@pytest.fixture
def machine(tmp_path: Path) -> StackMachine:
    (tmp_path / "archives").mkdir()
    return StackMachine(tmp_path)


def _root(place: Path, *packages: tuple[str, str], licence: str = "Expat") -> Path:
    text = "".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n\n"
        for name, version in packages
    )
    (place / "var/lib/dpkg").mkdir(parents=True)
    (place / "var/lib/dpkg/status").write_text(text)
    for name, _ in packages:
        (place / "usr/share/doc" / name).mkdir(parents=True)
        (place / "usr/share/doc" / name / "copyright").write_text(DEP5.format(licence))
    return place


def _list(machine: PlainMachine, step: InstalledPackages | UnpackedPackages, **inputs: tuple[Path, ...]) -> PackageList:
    output = machine.scratch() / "list"
    step.run(machine, inputs, output)
    return PackageList.from_json(output.read_text())


def test_base_has_all_that_dpkg_has_with_the_digests_that_are_known(tmp_path: Path, machine: StackMachine) -> None:
    base = _root(tmp_path / "base", ("b", "2"), ("a", "1"))
    debs = (Deb("a", "1", "amd64", 3, "aa"), Deb("b", "1", "amd64", 3, "of another version"))
    found = _list(machine, InstalledPackages("noble", debs), lower=(base,))
    assert [(p.identity.name, p.sha256, p.licence, p.copyright) for p in found.packages] == [
        ("a", "aa", "MIT", ""),
        ("b", "", "MIT", ""),
    ]
    assert (found.vendor, found.suite, found.gone) == ("ubuntu", "noble", ())


def test_overlay_has_what_it_changes(tmp_path: Path, machine: StackMachine) -> None:
    base = _root(tmp_path / "base", ("same", "1"), ("newer", "1"), ("away", "1"))
    upper = _root(tmp_path / "upper", ("same", "1"), ("newer", "2"), ("more", "1"))
    found = _list(machine, InstalledPackages("bookworm", ()), lower=(base,), upper=(upper,))
    assert [package.identity for package in found.packages] == [
        Identity("more", "amd64", "1"),
        Identity("newer", "amd64", "2"),
    ]
    assert found.gone == (Identity("away", "amd64", "1"), Identity("newer", "amd64", "1"))


def test_root_without_dpkg_has_no_packages(tmp_path: Path, machine: StackMachine) -> None:
    (tmp_path / "base").mkdir()
    assert _list(machine, InstalledPackages("bookworm", ()), lower=(tmp_path / "base",)).packages == ()


def test_copyright_is_found_through_links_of_the_root_and_not_on_the_host(
    tmp_path: Path, machine: StackMachine
) -> None:
    base = _root(tmp_path / "base", ("lib", "1"), ("lib-common", "1"), ("outside", "1"), licence="ISC")
    (tmp_path / "copyright").write_text(DEP5.format("GPL-2"))
    for name, target in (("lib", "lib-common"), ("outside", str(tmp_path))):
        (base / "usr/share/doc" / name / "copyright").unlink()
        (base / "usr/share/doc" / name).rmdir()
        (base / "usr/share/doc" / name).symlink_to(target)
    found = _list(machine, InstalledPackages("bookworm", ()), lower=(base,))
    assert [package.licence for package in found.packages] == ["ISC", "ISC", ""]


def test_initrd_has_the_packages_that_it_was_taken_from_with_their_copyright_once(
    tmp_path: Path, machine: StackMachine
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    debs = []
    unpacked = tmp_path / "unpacked"
    for name in ("a", "b"):
        package = make_package(tmp_path, name, "1:1", Source="s (1)")
        debs.append(Deb(name, "1:1", "amd64", 0, name * 64))
        package.file.rename(tmp_path / "archives" / debs[-1].file_name)
        (unpacked / "usr/share/doc" / name).mkdir(parents=True)
        (unpacked / "usr/share/doc" / name / "copyright").write_text(DEP5.format("Zlib"))
    (unpacked / "usr/share/doc/a/changelog.gz").touch()
    keep_copyright(unpacked, layer)
    assert [path.name for path in (layer / ".copyright").rglob("*") if path.is_file()] == ["copyright"] * 2
    found = _list(machine, UnpackedPackages("bookworm", tuple(debs)), lower=(tmp_path, layer))
    assert [(p.identity.name, p.source, p.source_version, p.sha256, p.licence) for p in found.packages] == [
        ("a", "s", "1", "a" * 64, "Zlib"),
        ("b", "s", "1", "b" * 64, "Zlib"),
    ]
    assert [package.copyright for package in found.packages] == [DEP5.format("Zlib"), ""]
