"""The page of `size`: maps of where the bytes of images are, by package and by folder, and tables of the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagebuilder.console import size_text
from imagebuilder.engine.inspection import Weights
from imagebuilder.engine.sizes import LayerSize
from imagebuilder.pages.render import LETTER, render
from imagebuilder.pages.treemap import Box, squarified

_WIDTH, _HEIGHT = 1060, 560
_HEAD = 20
_MARGIN = 2
_PADDING = 5
_LINE = 15
_COLOURS = 6
_SMALLEST = 0.0008
"""The part of a map below which things are shown together."""
_ROWS = 40
_WHOLE = "(one file)"


@dataclass(frozen=True, slots=True)
class _Tile:
    box: Box
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _LayerTile:
    box: Box
    title: str
    name: str
    colour: int
    tiles: tuple[_Tile, ...]


@dataclass(frozen=True, slots=True)
class _Map:
    title: str
    layers: tuple[_LayerTile, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    layer: str
    colour: int
    size: str
    share: str


def size_page(layers: Sequence[LayerSize], title: str) -> str:
    """The HTML."""
    total = sum(layer.unpacked for layer in layers)
    maps = [
        _Map("By package", tuple(_layers(layers, lambda weights: weights.packages))),
        _Map("By folder", tuple(_layers(layers, lambda weights: weights.folders))),
    ]
    packed = sum(layer.packed for layer in layers)
    return render(
        "size.html.j2",
        title=title,
        summary=f"{size_text(packed)} to fetch, {size_text(total)} unpacked, in {len(layers)} layers",
        width=_WIDTH,
        height=_HEIGHT,
        maps=maps,
        line=_LINE,
        padding=_PADDING,
        layers=[
            (layer.part.title, number % _COLOURS, size_text(layer.packed), size_text(layer.unpacked))
            for number, layer in enumerate(layers)
        ],
        rows=list(_rows(layers, total)),
    )


def _layers(layers: Sequence[LayerSize], sizes_of: Callable[[Weights], Mapping[str, int]]) -> Iterator[_LayerTile]:
    total = sum(layer.unpacked for layer in layers)
    ordered = sorted((layer for layer in layers if layer.unpacked), key=lambda layer: -layer.unpacked)
    boxes = squarified([layer.unpacked for layer in ordered], Box(0, 0, _WIDTH, _HEIGHT))
    for layer, box in zip(ordered, boxes, strict=True):
        sizes = sizes_of(layer.weights) if layer.weights else {_WHOLE: layer.packed}
        shown = _together(sizes, total)
        places = squarified([size for _, size in shown], box.inset(_MARGIN, _HEAD))
        title = f"{layer.part.title}: {size_text(layer.packed)} to fetch, {size_text(layer.unpacked)} unpacked"
        tiles = tuple(_tile(name, size, place) for (name, size), place in zip(shown, places, strict=True))
        name = _fitting(layer.part.title, box.width)
        yield _LayerTile(_rounded(box), title, name, layers.index(layer) % _COLOURS, tiles)


def _together(sizes: Mapping[str, int], total: int) -> list[tuple[str, int]]:
    """Names with their sizes, the largest first; the small ones as one."""
    large = [(name, size) for name, size in sizes.items() if size >= _SMALLEST * total]
    rest = [size for size in sizes.values() if size < _SMALLEST * total]
    all_of_it = [*large, (f"{len(rest)} more", sum(rest))] if sum(rest) else large
    return sorted(all_of_it, key=lambda item: -item[1])


def _tile(name: str, size: int, box: Box) -> _Tile:
    label, weight = _fitting(name, box.width), size_text(size)
    lines = [label, weight if _fitting(weight, box.width) == weight else ""]
    room = int((box.height - _PADDING) // _LINE) if label else 0
    return _Tile(_rounded(box), f"{name}: {weight}", tuple(filter(None, lines[:room])))


def _fitting(text: str, width: float) -> str:
    """As much of a text as fits, "" if that says nothing."""
    letters = int((width - 2 * _PADDING) / LETTER)
    if len(text) <= letters:
        return text
    return f"{text[: letters - 1]}…" if letters >= 4 else ""


def _rounded(box: Box) -> Box:
    return Box(*(round(value, 1) for value in (box.x, box.y, box.width, box.height)))


def _rows(layers: Sequence[LayerSize], total: int) -> Iterator[_Row]:
    """The heaviest packages of all layers."""
    found = [
        (size, name, number, layer.part.title)
        for number, layer in enumerate(layers)
        for name, size in (layer.weights.packages if layer.weights else {}).items()
    ]
    for size, name, number, title in sorted(found, key=lambda item: -item[0])[:_ROWS]:
        yield _Row(name, title, number % _COLOURS, size_text(size), f"{100 * size / total:.1f} %")
