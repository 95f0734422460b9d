"""The layers that a user names: of a manifest in the store, of an artifact folder, or one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagebuilder import digest
from imagebuilder.engine.artifacts import SUMS, read_sums
from imagebuilder.engine.sbom import find_manifest, package_lists
from imagebuilder.errors import UserError
from imagebuilder.sbom.packages import PackageList
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import BASE, OVERLAYS, Manifest
from imagebuilder.store.referrers import PACKAGES, all_referrers


@dataclass(frozen=True, slots=True)
class Part:
    """A layer and the file that it is; `packages` is None when nobody knows them, `kind` "" likewise."""

    kind: str
    title: str
    sha256: str
    packages: PackageList | None
    file: Path

    @property
    def is_of_root(self) -> bool:
        """Whether it is a layer of the root filesystem, as far as that is known."""
        return self.kind in (BASE, *OVERLAYS.values())


def read_parts(layout: Layout, given: str) -> tuple[Part, ...]:
    """The layers of a name in the store, of a digest or of an artifact folder, or a file. Raises UserError."""
    path = Path(given)
    if path.is_file():
        return (_read_file(path, digest.of_file(path), _known_layers(layout)),)
    if "/" in given or path.is_dir():
        return _read_folder(layout, path)
    blob, manifest = find_manifest(layout, given)
    lists = package_lists(layout, blob)
    return tuple(
        Part(layer.media_type, layer.title, sha256, lists.get(layer.title), layout.path(sha256))
        for layer in manifest.layers
        for sha256 in (layer.blob.sha256,)
    )


def _read_file(path: Path, sha256: str, known: dict[str, tuple[str, PackageList]]) -> Part:
    kind, packages = known.get(sha256, ("", None))
    return Part(kind, path.name, sha256, packages, path)


def _read_folder(layout: Layout, folder: Path) -> tuple[Part, ...]:
    """The artifacts of a folder; what is in them is known by their digests, if the store has seen them."""
    if not folder.is_dir():
        raise UserError(f"there is no artifact, and no artifact folder `{folder}`")
    sums = read_sums(folder)
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    known = _known_layers(layout)
    return tuple(
        _read_file(path, sums.get(path.name) or digest.of_file(path), known) for path in paths if path.name != SUMS
    )


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
