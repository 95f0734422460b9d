"""A graph drawn in layers from left to right. Pure.

Each node stands to the right of all that it needs. What follows from other
edges is not drawn. An edge over several layers gets a lane of its own in each
(`_Lane`), so that it runs around boxes, never through them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

HEIGHT = 46
_GAP = 14
_LANE = 10
_BETWEEN_LAYERS = 64
_SWEEPS = 4


@dataclass(frozen=True, slots=True)
class Drawing:
    """Where things are: the upper left corner of each node's box, and each edge as the `d` of an SVG path."""

    width: int
    height: int
    corners: Mapping[str, tuple[int, int]]
    paths: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class _Lane:
    """The room in a layer for an edge that passes it."""

    edge: tuple[str, str]
    layer: int


_Place = str | _Lane
"""A node's name or a lane."""


def draw(needs: Mapping[str, Collection[str]], box_width: int) -> Drawing:
    """Draw the nodes of `needs`, each listed after all that it needs."""
    drawn = reduced(needs)
    depths = _depths(drawn)
    chains = {(a, b): _chain(a, b, depths) for b, others in drawn.items() for a in others}
    layers: list[list[_Place]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for name in needs:
        layers[depths[name]].append(name)
    for lane in (place for chain in chains.values() for place in chain if isinstance(place, _Lane)):
        layers[lane.layer].append(lane)
    links = [link for chain in chains.values() for link in pairwise(chain)]
    tops = _tops(layers, links)
    step = box_width + _BETWEEN_LAYERS
    corners = {name: (depths[name] * step, tops[name]) for name in needs}
    height = max((tops[place] + _height(place) for place in tops), default=0)
    width = len(layers) * step - _BETWEEN_LAYERS if layers else 0
    paths = {edge: _path(chain, tops, depths, box_width) for edge, chain in chains.items()}
    return Drawing(width, height, corners, paths)


def reduced(needs: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """The same graph without the edges that others imply: a -> c where there are a -> b and b -> c."""
    above: dict[str, set[str]] = {}
    for name, direct in needs.items():
        above[name] = set(direct).union(*(above[other] for other in direct))
    return {
        name: [one for one in dict.fromkeys(direct) if not any(one in above[other] for other in direct)]
        for name, direct in needs.items()
    }


def _depths(needs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The layer of each node; one that needs nothing stands just before the first that needs it."""
    depths: dict[str, int] = {}
    for name, direct in needs.items():
        depths[name] = max((depths[other] + 1 for other in direct), default=0)
    for name, direct in needs.items():
        users = [depths[user] for user, used in needs.items() if name in used]
        if not direct and users:
            depths[name] = min(users) - 1
    return depths


def _chain(a: str, b: str, depths: Mapping[str, int]) -> list[_Place]:
    return [a, *(_Lane((a, b), layer) for layer in range(depths[a] + 1, depths[b])), b]


def _height(place: _Place) -> int:
    return _LANE if isinstance(place, _Lane) else HEIGHT


def _tops(layers: Sequence[list[_Place]], links: Iterable[tuple[_Place, _Place]]) -> dict[_Place, int]:
    """The upper edge of each place: near its neighbours, none over another."""
    before: dict[_Place, list[_Place]] = {place: [] for layer in layers for place in layer}
    after: dict[_Place, list[_Place]] = {place: [] for layer in layers for place in layer}
    for a, b in links:
        before[b].append(a)
        after[a].append(b)
    middles: dict[_Place, float] = {}
    for layer in layers:
        _stack(layer, {place: float(i) * (HEIGHT + _GAP) for i, place in enumerate(layer)}, middles)
    for _ in range(_SWEEPS):
        for neighbours, order in ((before, layers), (after, layers[::-1])):
            for layer in order:
                wished = {place: _mean([middles[n] for n in neighbours[place]], middles[place]) for place in layer}
                layer.sort(key=wished.__getitem__)
                _stack(layer, wished, middles)
    highest = min((middles[place] - _height(place) / 2 for place in middles), default=0.0)
    return {place: round(middle - _height(place) / 2 - highest) for place, middle in middles.items()}


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _stack(layer: Sequence[_Place], wished: Mapping[_Place, float], middles: dict[_Place, float]) -> None:
    """Put the places of a layer one below the other, as near to the wished middles as their order allows."""
    lowest = float("-inf")
    for place in layer:
        half = _height(place) / 2
        middles[place] = max(wished[place], lowest + half)
        lowest = middles[place] + half + _GAP
    # All were pushed down only: half of that back up keeps the layer around its neighbours.
    push = _mean([middles[place] - wished[place] for place in layer], 0.0)
    for place in layer:
        middles[place] -= push


def _path(chain: Sequence[_Place], tops: Mapping[_Place, int], depths: Mapping[str, int], box_width: int) -> str:
    """A curve from the right side of the first box to the left side of the last, straight through lanes."""
    step = box_width + _BETWEEN_LAYERS

    def left(place: _Place) -> int:
        return (place.layer if isinstance(place, _Lane) else depths[place]) * step

    def middle(place: _Place) -> int:
        return tops[place] + _height(place) // 2

    parts = [f"M{left(chain[0]) + box_width} {middle(chain[0])}"]
    for a, b in pairwise(chain):
        start, end = left(a) + box_width, left(b)
        half = (start + end) // 2
        parts.append(f"C{half} {middle(a)} {half} {middle(b)} {end} {middle(b)}")
        if isinstance(b, _Lane):
            parts.append(f"H{end + box_width}")
    return " ".join(parts)
