"""A graph in layers: from left to right, nothing on top of anything else, no line that says nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from itertools import combinations

import pytest

from imagebuilder.pages.layered import HEIGHT, Drawing, draw, reduced

WIDTH = 100
Graph = Mapping[str, list[str]]


def _random_graph(seed: int) -> Graph:
    chance = random.Random(seed)
    names = [f"n{number}" for number in range(25)]
    return {name: [other for other in names[:i] if chance.random() < 0.15] for i, name in enumerate(names)}


GRAPHS: tuple[Graph, ...] = (
    {"a": []},
    {"a": [], "b": ["a"], "c": ["a", "b"]},
    {"base": [], "top": ["base"], **{f"x{n}": ["base", "top"] for n in range(50)}},
    {"a": [], "b": ["a"], "c": ["b"], "d": ["a"], "e": ["c", "d"], "late": [], "f": ["late", "e"]},
    *map(_random_graph, range(20)),
)


def _boxes(drawing: Drawing) -> list[tuple[int, int]]:
    return list(drawing.corners.values())


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw({}, WIDTH) == Drawing(0, 0, {}, {})


@pytest.mark.parametrize("needs", GRAPHS)
def test_boxes_lie_apart_and_within_the_drawing(needs: Graph) -> None:
    drawing = draw(needs, WIDTH)
    assert set(drawing.corners) == set(needs)
    for (x, y), (other_x, other_y) in combinations(_boxes(drawing), 2):
        assert abs(x - other_x) >= WIDTH or abs(y - other_y) >= HEIGHT
    for x, y in _boxes(drawing):
        assert 0 <= x <= drawing.width - WIDTH
        assert 0 <= y <= drawing.height - HEIGHT


@pytest.mark.parametrize("needs", GRAPHS)
def test_lines_lead_to_the_right_and_run_through_no_box(needs: Graph) -> None:
    drawing = draw(needs, WIDTH)
    for (a, b), path in drawing.paths.items():
        start, end = drawing.corners[a], drawing.corners[b]
        assert start[0] < end[0]
        assert path.startswith(f"M{start[0] + WIDTH} {start[1] + HEIGHT // 2} ")
        assert path.endswith(f" {end[0]} {end[1] + HEIGHT // 2}")
        # Where a line crosses a layer it runs level (H), outside of every box there.
        for x, y in ((int(x), int(y)) for x, y in re.findall(r"(\d+) (\d+) H", path)):
            assert not [box for box in _boxes(drawing) if box[0] == x and box[1] <= y <= box[1] + HEIGHT]


def _above(graph: Graph, name: str) -> set[str]:
    return set(graph[name]).union(*(_above(graph, other) for other in graph[name]))


@pytest.mark.parametrize("needs", GRAPHS)
def test_only_lines_that_follow_from_others_are_left_out(needs: Graph) -> None:
    drawn = reduced(needs)
    for name in needs:
        assert _above(drawn, name) == _above(needs, name)
        for other in drawn[name]:
            assert not any(other in _above(drawn, one) for one in drawn[name])


def test_what_needs_nothing_stands_before_what_needs_it_first() -> None:
    drawing = draw({"a": [], "b": ["a"], "python": [], "c": ["b", "python"]}, WIDTH)
    assert drawing.corners["python"][0] == drawing.corners["b"][0]
