"""Lists of Debian packages out of roots and package files: what the steps of sbom.py write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.sources import distribution_of
from imagebuilder.sbom import licences
from imagebuilder.sbom.packages import Identity, Package, PackageList, installed, stanzas
from imagebuilder.steps.files import resolve
from imagebuilder.steps.kernel import COPYRIGHT

_STATUS = PurePosixPath("/var/lib/dpkg/status")
_DOCUMENTATION = PurePosixPath("/usr/share/doc")
Packages = Mapping[tuple[str, str], Package]
"""By name and architecture."""


def list_of(suite: str, packages: Iterable[Package], gone: Iterable[Identity] = ()) -> str:
    """The list of a layer as text: its packages, and those of layers below that it takes away."""
    vendor = distribution_of(suite).name
    return PackageList(vendor, suite, tuple(sorted(packages)), tuple(sorted(gone))).to_json()


def installed_in(root: Path) -> Packages:
    """The packages of dpkg's database in a root; none where there is no dpkg."""
    with suppress(FileNotFoundError):
        return installed(_text(resolve(root, _STATUS)))
    return {}


def added(root: Path, now: Packages, below: Packages, debs: Iterable[Deb]) -> list[Package]:
    """What a root has `now` that it had not `below`, with licences, and digests of those that came from `debs`."""
    digests = {Identity(deb.name, deb.architecture, deb.version): deb.sha256 for deb in debs}
    return [
        replace(_licensed(package, _copyright(root, _DOCUMENTATION, package)), sha256=digests.get(package.identity, ""))
        for place, package in now.items()
        if below.get(place) != package
    ]


def unpacked(machine: Machine, debs: Iterable[Deb], layers: Sequence[Path]) -> list[Package]:
    """The packages `debs`, out of which `layers` were made; these hold the copyright files, each text is told once."""
    found: list[Package] = []
    seen: set[str] = set()
    for deb in debs:
        text = machine.run(Command(("dpkg-deb", "--field", str(machine.archive(deb.file_name))))).stdout
        package = Package.of(next(stanzas(text)))
        texts = (_copyright(layer, PurePosixPath("/", COPYRIGHT), package) for layer in layers)
        copyright = next(filter(None, texts), "")
        kept = "" if copyright in seen else copyright
        found.append(replace(_licensed(package, copyright), sha256=deb.sha256, copyright=kept))
        seen.add(copyright)
    return found


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
