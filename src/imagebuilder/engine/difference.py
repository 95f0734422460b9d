"""What differs between two images, or two artifact folders: layers, and the packages in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuilder import digest
from imagebuilder.engine.artifacts import SUMS, read_sums
from imagebuilder.engine.sbom import PACKAGES, find_manifest, package_lists
from imagebuilder.errors import UserError
from imagebuilder.sbom.packages import PackageList
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import Manifest
from imagebuilder.store.referrers import all_referrers


@dataclass(frozen=True, slots=True)
class Part:
    """A layer as it is compared; `packages` is None when nobody knows them, `kind` "" likewise."""

    kind: str
    title: str
    sha256: str
    packages: PackageList | None


@dataclass(frozen=True, slots=True)
class Change:
    """A package that differs: `old` and `new` are versions, "" where it is not there."""

    package: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer that both have, or one of them ("" for the other's title).

    `changes` is None when the packages of one side are not known.
    """

    old: str
    new: str
    equal: bool
    changes: tuple[Change, ...] | None


def read_side(layout: Layout, given: str) -> tuple[Part, ...]:
    """The layers of a name in the store, of a digest or of an artifact folder. Raises UserError."""
    if "/" in given or Path(given).is_dir():
        return _read_folder(layout, Path(given))
    blob, manifest = find_manifest(layout, given)
    lists = package_lists(layout, blob)
    return tuple(
        Part(layer.media_type, layer.title, layer.blob.sha256, lists.get(layer.title)) for layer in manifest.layers
    )


def compare(old: Sequence[Part], new: Sequence[Part]) -> tuple[LayerDifference, ...]:
    """Layer by layer: those of one name are compared, then those of one kind in their order."""
    return tuple(_difference(one, other) for one, other in _pairs(old, new))


def _pairs(old: Sequence[Part], new: Sequence[Part]) -> Iterator[tuple[Part | None, Part | None]]:
    partners: dict[Part, Part] = {}
    for field in ("title", "kind"):
        for one in old:
            value = getattr(one, field)
            free = [part for part in new if part not in partners.values() and getattr(part, field) == value != ""]
            if one not in partners and free:
                partners[one] = free[0]
    for one in old:
        yield one, partners.get(one)
    for other in new:
        if other not in partners.values():
            yield None, other


def _difference(old: Part | None, new: Part | None) -> LayerDifference:
    titles = (old.title if old else "", new.title if new else "")
    if old and new and old.sha256 == new.sha256:
        return LayerDifference(*titles, equal=True, changes=())
    if any(part and part.packages is None for part in (old, new)):
        return LayerDifference(*titles, equal=False, changes=None)
    before, after = _versions(old), _versions(new)
    changes = [
        Change(name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return LayerDifference(*titles, equal=False, changes=tuple(changes))


def _versions(part: Part | None) -> Mapping[str, str]:
    """Version by package, those of another architecture as dpkg writes them (`libc6:i386`)."""
    packages = part.packages.packages if part and part.packages else ()
    identities = [package.identity for package in packages]
    names = [identity.name for identity in identities]
    return {
        identity.name
        if names.count(identity.name) == 1
        else f"{identity.name}:{identity.architecture}": identity.version
        for identity in identities
    }


def _read_folder(layout: Layout, folder: Path) -> tuple[Part, ...]:
    """The artifacts of a folder; what is in them is known by their digests, if the store has seen them."""
    if not folder.is_dir():
        raise UserError(f"there is no artifact folder `{folder}`")
    sums = read_sums(folder)
    names = [path.name for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    known = _known_layers(layout)
    parts = []
    for name in names:
        if name != SUMS:
            sha256 = sums.get(name) or digest.of_file(folder / name)
            kind, packages = known.get(sha256, ("", None))
            parts.append(Part(kind, name, sha256, packages))
    return tuple(parts)


def _known_layers(layout: Layout) -> dict[str, tuple[str, PackageList]]:
    """By the digest of a layer its media type and packages, of every manifest that has lists."""
    known: dict[str, tuple[str, PackageList]] = {}
    for about, referrer in all_referrers(layout, read_index(layout)):
        if referrer.artifact_type == PACKAGES:
            layers = Manifest.from_bytes(layout.read(about.sha256)).layers
            for layer, file in zip(layers, referrer.files, strict=True):
                if layer.blob.sha256 not in known:
                    listed = PackageList.from_json(layout.read(file.blob.sha256))
                    known[layer.blob.sha256] = (layer.media_type, listed)
    return known
