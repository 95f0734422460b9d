"""Rectangles as large as numbers say."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebuilder.pages.treemap import Box, squarified

BOX = Box(10, 20, 300, 200)


def _overlap(one: Box, other: Box) -> float:
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return max(0.0, width) * max(0.0, height)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30))
def test_areas_are_as_sizes_are_and_fill_the_box_without_overlap(sizes: list[int]) -> None:
    sizes.sort(reverse=True)
    boxes = squarified(sizes, BOX)
    for size, box in zip(sizes, boxes, strict=True):
        assert box.width * box.height == pytest.approx(60000 * size / sum(sizes), rel=1e-6)
        assert box.x >= BOX.x - 1e-6
        assert box.y >= BOX.y - 1e-6
        assert box.x + box.width <= BOX.x + BOX.width + 1e-6
        assert box.y + box.height <= BOX.y + BOX.height + 1e-6
    assert all(_overlap(one, other) < 1e-3 for one, other in combinations(boxes, 2))


def test_example_of_the_paper_is_nearly_square() -> None:
    ratios = [max(b.width / b.height, b.height / b.width) for b in squarified([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))]
    assert max(ratios) < 3


@pytest.mark.parametrize("box", [Box(0, 0, 0, 5), Box(0, 0, 5, 0).inset(3)])
def test_no_room_is_no_error(box: Box) -> None:
    assert {(b.width, b.height) for b in squarified([2, 1], box)} == {(0, 0)}


def test_nothing_has_no_rectangles() -> None:
    assert squarified([], BOX) == []
