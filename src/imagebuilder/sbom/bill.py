"""What a bill of materials is about: an artifact, the artifacts that it is made of, the packages in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from imagebuilder import digest
from imagebuilder.sbom.packages import Package, PackageList


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something with a digest: a layer with its packages, or an image with its layers as `parts`."""

    title: str
    sha256: str
    packages: PackageList
    parts: tuple[Artifact, ...] = ()

    def all(self) -> Iterator[Artifact]:
        """The artifact itself, then its parts."""
        return iter((self, *self.parts))

    def listed(self) -> Iterator[tuple[str, Package]]:
        """The packages of this artifact itself, with their package URLs."""
        for package in self.packages.packages:
            yield self.packages.purl(package), package


def image(title: str, sha256: str, layers: Sequence[Artifact]) -> Artifact:
    """What boots together, bottom layer first, without packages that a higher layer removes or replaces."""
    parts: list[Artifact] = []
    gone = {identity for layer in layers for identity in layer.packages.gone}
    for layer in layers:
        kept = tuple(package for package in layer.packages.packages if package.identity not in gone)
        parts.append(replace(layer, packages=replace(layer.packages, packages=kept)))
    return Artifact(title, sha256, replace(layers[-1].packages, packages=()), tuple(parts))


def identifier(document: Mapping[str, object]) -> str:
    """A UUID that a document's content gives: the same content, the same one (RFC 9562, version 8)."""
    digits = digest.of_value(document)
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"
