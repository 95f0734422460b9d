"""Rectangles whose areas are as large as numbers say, together filling a box, none much longer than wide. Pure.

The squarified layout of Bruls, Huizing and van Wijk (Squarified Treemaps, 2000): the largest first, in rows along
the shorter side of what is left, each row as long as that makes its rectangles squarer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def inset(self, margin: float, top: float = 0.0) -> Box:
        """It without a margin on all sides, and without `top` more above."""
        width, height = self.width - 2 * margin, self.height - 2 * margin - top
        return Box(self.x + margin, self.y + margin + top, max(0.0, width), max(0.0, height))


def squarified(sizes: Sequence[float], box: Box) -> list[Box]:
    """A rectangle for each of `sizes`, which are above zero, the largest first."""
    if not sizes or box.width <= 0 or box.height <= 0:
        return [Box(box.x, box.y, 0, 0) for _ in sizes]
    scale = box.width * box.height / sum(sizes)
    waiting = [size * scale for size in sizes]
    found: list[Box] = []
    while waiting:
        side = min(box.width, box.height)
        count = 1
        while count < len(waiting) and _worst(waiting[: count + 1], side) <= _worst(waiting[:count], side):
            count += 1
        row, box = _row(waiting[:count], box)
        found += row
        del waiting[:count]
    return found


def _worst(areas: Sequence[float], side: float) -> float:
    """The largest ratio of length to width of rectangles that together lie along `side`."""
    depth = sum(areas) / side
    return max(max(depth * depth / area, area / (depth * depth)) for area in areas)


def _row(areas: Sequence[float], box: Box) -> tuple[list[Box], Box]:
    """Rectangles along the shorter side of a box, and what is left of it."""
    is_wide = box.width >= box.height
    depth = sum(areas) / (box.height if is_wide else box.width)
    place, row = box.y if is_wide else box.x, []
    for area in areas:
        length = area / depth
        row.append(Box(box.x, place, depth, length) if is_wide else Box(place, box.y, length, depth))
        place += length
    if is_wide:
        return row, Box(box.x + depth, box.y, max(0.0, box.width - depth), box.height)
    return row, Box(box.x, box.y + depth, box.width, max(0.0, box.height - depth))
