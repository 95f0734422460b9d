"""Where the bytes of images are: by layer, package and folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from imagebuilder.engine.inspection import Weights, weights_of
from imagebuilder.engine.parts import Part, read_parts
from imagebuilder.engine.unpacked import is_archive, opened
from imagebuilder.store.layout import Layout


@dataclass(frozen=True, slots=True)
class LayerSize:
    """A layer: its bytes as it travels, and what is in it; None for one that is no archive (a kernel)."""

    part: Part
    packed: int
    weights: Weights | None

    @property
    def unpacked(self) -> int:
        """Its bytes on a node, as far as they are known."""
        return self.weights.total if self.weights else self.packed


def layer_sizes(layout: Layout, images: Sequence[str]) -> tuple[LayerSize, ...]:
    """The layers of all images (names in the store, folders, files), each once, in their order.

    Raises UserError for what is not there, or damaged.
    """
    parts: dict[str, Part] = {}
    for image in images:
        for part in read_parts(layout, image):
            parts.setdefault(part.sha256, part)
    return tuple(_sized(parts.values()))


def _sized(parts: Iterable[Part]) -> Iterator[LayerSize]:
    for part in parts:
        weights = None
        if is_archive(part.file):
            with opened(part.file) as found:
                weights = weights_of(found.entries)
        yield LayerSize(part, part.file.stat().st_size, weights)
