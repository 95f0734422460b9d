"""Debian packages in a layer: read from control fields, compared, kept as JSON.

A layer's list, as it is kept in the store:

    {"vendor": "debian", "suite": "bookworm",
     "packages": [{"name": ..., "version": ..., ...}, ...],
     "gone": [{"name": ..., "architecture": ..., "version": ...}, ...]}

`gone` is what the layers below have and this one removes or replaces.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

_SOURCE = re.compile(r"(?P<name>\S+)(?: \((?P<version>\S+)\))?")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """A package by name, architecture and version."""

    name: str
    architecture: str
    version: str


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """A package of a layer.

    `sha256` is of its .deb, "" when nobody knows it. `licence` is an SPDX
    expression, "" when it is not certain; `licences` are the names in its
    copyright file. `copyright` is that file's text where the layer does not
    hold it, once for packages of one source.
    """

    identity: Identity
    source: str
    source_version: str
    sha256: str = ""
    licence: str = ""
    licences: tuple[str, ...] = ()
    copyright: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> Package:
        """From the fields of a package's control file or of its stanza in dpkg's status."""
        identity = Identity(fields["Package"], fields["Architecture"], fields["Version"])
        source = _SOURCE.match(fields.get("Source", identity.name))
        assert source is not None
        return cls(identity, source["name"], source["version"] or identity.version)


@dataclass(frozen=True, slots=True)
class PackageList:
    """The packages that a layer brings, sorted, and what it takes away from the layers below."""

    vendor: str
    suite: str
    packages: tuple[Package, ...]
    gone: tuple[Identity, ...] = ()

    def purl(self, package: Package) -> str:
        """The package URL (github.com/package-url/purl-spec, type `deb`)."""
        identity = package.identity
        return self._purl(identity.name, identity.version, identity.architecture)

    def source_purl(self, package: Package) -> str:
        """The package URL of the source that it was built from."""
        return self._purl(package.source, package.source_version, "source")

    def _purl(self, name: str, version: str, architecture: str) -> str:
        quoted = quote(version, safe=":~")
        return f"pkg:deb/{self.vendor}/{quote(name, safe='')}@{quoted}?arch={architecture}&distro={self.suite}"

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(
            {
                "vendor": self.vendor,
                "suite": self.suite,
                "packages": [_flat(package) for package in self.packages],
                "gone": [dataclasses.asdict(identity) for identity in self.gone],
            },
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> PackageList:
        """Read what `to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        value = json.loads(text)
        packages = tuple(_package(entry) for entry in value["packages"])
        return cls(value["vendor"], value["suite"], packages, tuple(Identity(**entry) for entry in value["gone"]))


def installed(status: str) -> dict[tuple[str, str], Package]:
    """The installed packages of a dpkg status file, by name and architecture."""
    found = (Package.of(fields) for fields in stanzas(status) if fields.get("Status", "").endswith(" installed"))
    return {(package.identity.name, package.identity.architecture): package for package in found}


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """The paragraphs of a control file (deb822(5)): values by field, further lines as they stand."""
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')}\n{line}"
            else:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        if fields:
            yield fields


def _flat(package: Package) -> dict[str, object]:
    value = dataclasses.asdict(package)
    return {**value.pop("identity"), **value}


def _package(value: dict[str, object]) -> Package:
    identity = Identity(*(str(value.pop(field.name)) for field in dataclasses.fields(Identity)))
    licences = value.pop("licences")
    assert isinstance(licences, list)
    return Package(identity, licences=tuple(licences), **{key: str(text) for key, text in value.items()})
