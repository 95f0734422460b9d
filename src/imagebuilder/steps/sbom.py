"""Which Debian packages a layer brings: steps beside those that pack it, made into documents when it is published.

A layer for the root is read by its dpkg database. An initrd and a kernel have
none: theirs are the packages that they were unpacked from, and the copyright
files of these, which do not travel in the layer, go into the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.sources import distribution_of
from imagebuilder.sbom import licences
from imagebuilder.sbom.packages import Identity, Package, PackageList, installed, stanzas
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.steps.files import resolve
from imagebuilder.steps.kernel import COPYRIGHT

_STATUS = PurePosixPath("/var/lib/dpkg/status")
_DOCUMENTATION = PurePosixPath("/usr/share/doc")
_Packages = Mapping[tuple[str, str], Package]


@dataclass(frozen=True, slots=True)
class InstalledPackages(Step):
    """What dpkg has in the layers `lower`; with an input `upper`, what that layer changes on them.

    `debs` are package files whose digests are known.
    """

    kind: ClassVar[str] = "installed-packages"

    suite: str
    debs: tuple[Deb, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the list."""
        lower, upper = inputs["lower"], inputs.get("upper", ())
        below: _Packages = {}
        if upper:
            with machine.overlay(lower) as root:
                below = _status(root)
        with machine.overlay((*lower, *upper)) as root:
            now = _status(root)
            digests = {Identity(deb.name, deb.architecture, deb.version): deb.sha256 for deb in self.debs}
            added = [
                replace(
                    _licensed(package, _copyright(root, _DOCUMENTATION, package)),
                    sha256=digests.get(package.identity, ""),
                )
                for place, package in now.items()
                if below.get(place) != package
            ]
        gone = [package.identity for place, package in below.items() if now.get(place) != package]
        _write(self.suite, added, gone, output)


@dataclass(frozen=True, slots=True)
class UnpackedPackages(Step):
    """The packages `debs`, out of which the layers `lower` were made; these hold the copyright files."""

    kind: ClassVar[str] = "unpacked-packages"

    suite: str
    debs: tuple[Deb, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the list."""
        found: list[Package] = []
        seen: set[str] = set()
        for deb in self.debs:
            text = machine.run(Command(("dpkg-deb", "--field", str(machine.archive(deb.file_name))))).stdout
            package = Package.of(next(stanzas(text)))
            texts = (_copyright(layer, PurePosixPath("/", COPYRIGHT), package) for layer in inputs["lower"])
            copyright = next(filter(None, texts), "")
            kept = "" if copyright in seen else copyright
            found.append(replace(_licensed(package, copyright), sha256=deb.sha256, copyright=kept))
            seen.add(copyright)
        _write(self.suite, found, [], output)


def _write(suite: str, packages: list[Package], gone: list[Identity], output: Path) -> None:
    vendor = distribution_of(suite).name
    output.write_text(PackageList(vendor, suite, tuple(sorted(packages)), tuple(sorted(gone))).to_json())


def _status(root: Path) -> _Packages:
    """The packages of dpkg's database in a root; none where there is no dpkg."""
    with suppress(FileNotFoundError):
        return installed(_text(resolve(root, _STATUS)))
    return {}


def _copyright(root: Path, folder: PurePosixPath, package: Package) -> str:
    """The text of a package's copyright file, "" when it is not there: its folder may be a link to another one's."""
    path = resolve(root, folder / package.identity.name / "copyright")
    with suppress(FileNotFoundError, NotADirectoryError):
        return _text(path)
    return ""


def _licensed(package: Package, copyright: str) -> Package:
    found = licences.read(copyright)
    return replace(package, licence=found.expression, licences=found.names)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
