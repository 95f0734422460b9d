"""What is in a store, for people and programs to read: names, what they stand for, what they share."""

from __future__ import annotations

from dataclasses import dataclass

from imagebuilder.errors import UnknownError
from imagebuilder.store.index import Index, read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import Layer, Manifest
from imagebuilder.store.referrers import Referrer, referrers


@dataclass(frozen=True, slots=True)
class Part:
    """A layer of an image, and the other names that need it."""

    layer: Layer
    shared_with: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A name, the manifest that it stands for, and its layers."""

    name: str
    manifest: Blob
    created: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """The bytes of all layers."""
        return sum(part.layer.blob.size for part in self.parts)

    @property
    def own(self) -> int:
        """The bytes of the layers that no other name needs."""
        return sum(part.layer.blob.size for part in self.parts if not part.shared_with)


@dataclass(frozen=True, slots=True)
class Details:
    """An entry, the manifests that its name stood for before (the last first), and what is attached to it."""

    entry: Entry
    past: tuple[Blob, ...]
    attached: tuple[Referrer, ...]


def list_entries(layout: Layout) -> tuple[Entry, ...]:
    """Every name, in their order. Raises ImagebuilderError when a manifest is damaged or missing."""
    return _entries(layout, read_index(layout))


def describe(layout: Layout, name: str) -> Details:
    """All there is to say about a name. Raises UnknownError for one that the store does not have."""
    index = read_index(layout)
    manifest = manifest_of(index, name, layout)
    (entry,) = (entry for entry in _entries(layout, index) if entry.name == name)
    past = tuple(former.manifest for former in reversed(index.past) if former.name == name)
    return Details(entry, past, referrers(layout, manifest))


def manifest_of(index: Index, name: str, layout: Layout) -> Blob:
    """What a name stands for. Raises UnknownError for one that the index does not have."""
    if name not in index.names:
        known = ", ".join(f"`{name}`" for name in sorted(index.names)) or "nothing yet"
        raise UnknownError(f"the store {layout.root} has no `{name}`", hint=f"it has {known}")
    return index.names[name]


def _entries(layout: Layout, index: Index) -> tuple[Entry, ...]:
    images = {name: Manifest.from_bytes(layout.read(blob.sha256)) for name, blob in sorted(index.names.items())}
    needed_by: dict[Blob, list[str]] = {}
    for name, image in images.items():
        for layer in image.layers:
            needed_by.setdefault(layer.blob, []).append(name)

    def part(name: str, layer: Layer) -> Part:
        return Part(layer, tuple(other for other in needed_by[layer.blob] if other != name))

    return tuple(
        Entry(name, index.names[name], image.created, tuple(part(name, layer) for layer in image.layers))
        for name, image in images.items()
    )
