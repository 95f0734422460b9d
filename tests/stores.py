"""Small stores with images of a few bytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from imagebuilder.boot.artifacts import Artifacts
from imagebuilder.store.actions import Actions
from imagebuilder.store.index import change_index, read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import BASE, EMPTY, INITRD, KERNEL, OVERLAYS, Layer, Manifest
from imagebuilder.store.record import Record

CREATED = "2024-06-03T00:00:00Z"
SPDX = "application/spdx+json"


def layers(layout: Layout, overlay: str, base: str = "base") -> tuple[Layer, ...]:
    """A kernel, an initrd, a base and an overlay; the latter two hold these texts."""
    contents = (
        (KERNEL, "vmlinuz-6.1", "kernel"),
        (INITRD, "initrd.img-6.1", "initrd"),
        (BASE, "base.squashfs.img", base),
        (OVERLAYS["cpio.gz"], "extra.overlay.cpio.gz", overlay),
    )
    return tuple(Layer(kind, title, layout.put(text.encode())) for kind, title, text in contents)


def add_image(layout: Layout, name: str, overlay: str, base: str = "base") -> Blob:
    """Put an image into the store and have `name` stand for it; returns its manifest."""
    return _name_image(layout, name, layers(layout, overlay, base))


def add_random_image(layout: Layout, name: str, sizes: Sequence[int]) -> int:
    """An image whose kernel, initrd, base and overlay are so many random bytes; returns all that a node fetches."""
    titles = ("vmlinuz-6.1", "initrd.img-6.1", "base.squashfs.img", "extra.overlay.cpio.gz")
    kinds = (KERNEL, INITRD, BASE, OVERLAYS["cpio.gz"])
    files = zip(kinds, titles, sizes, strict=True)
    parts = [Layer(kind, title, layout.put(os.urandom(size))) for kind, title, size in files]
    _name_image(layout, name, parts)
    return sum(sizes)


def _name_image(layout: Layout, name: str, parts: Sequence[Layer]) -> Blob:
    layout.put(EMPTY)
    manifest = layout.put(Manifest(tuple(parts), CREATED).to_bytes())
    change_index(layout, lambda index: index.moved(name, manifest))
    return manifest


def record(sha256: str = "", *, reads: tuple[str, ...] = (), **step: object) -> Record:
    """The record of a step that made a blob, or a folder."""
    return Record(name="a step", step=step, inputs={"lower": reads}, sha256=sha256, size=1, seconds=1.0)


def add_action(layout: Layout, step_id: str, content: str, *, reads: tuple[str, ...] = (), **step: object) -> Blob:
    """Put a blob into the store with the record of the step that made it."""
    blob = layout.put(content.encode())
    Actions(layout).keep(step_id, record(blob.sha256, reads=reads, **step))
    return blob


def damage(layout: Layout, blob: Blob) -> None:
    """Change a bit of a blob on disk."""
    path = layout.path(blob.sha256)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def add_artifacts(layout: Layout, name: str, artifacts: Artifacts) -> Blob:
    """Put what boots together in an artifact folder into the store under a name; returns the manifest."""
    kinds = {artifacts.kernel: KERNEL, artifacts.initrd: INITRD, artifacts.base: BASE}
    kinds |= dict.fromkeys(artifacts.overlays, OVERLAYS["cpio.gz"])
    parts = [Layer(kind, file, layout.put((artifacts.folder / file).read_bytes())) for file, kind in kinds.items()]
    return _name_image(layout, name, parts)


def add_overlaid(layout: Layout, name: str, overlay: Path) -> Blob:
    """An image like another one, with one overlay (.cpio.gz) in the place of its own; returns the manifest."""
    manifest = Manifest.from_bytes(layout.read(read_index(layout).names[name].sha256))
    parts = [layer for layer in manifest.layers if layer.media_type not in OVERLAYS.values()]
    parts.append(Layer(OVERLAYS["cpio.gz"], f"{overlay.stem}.overlay.cpio.gz", layout.put(overlay.read_bytes())))
    return layout.put(Manifest(tuple(parts), CREATED).to_bytes())
