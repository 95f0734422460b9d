"""The page of a build's profile: when each step ran, and a table of what took how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imagebuilder.console import size_text
from imagebuilder.engine.profile import Part, Profile, StepProfile
from imagebuilder.pages.render import LETTER, render

_BARS = 900
"""Pixels of the whole build."""
_ROW = 28
_BAR = 22
_HEAD = 24
_STEPS_OF_SCALE = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
_MARKS = 8
_MARGIN = 30


@dataclass(frozen=True, slots=True)
class _Bar:
    x: float
    width: float
    title: str
    y: int = 0
    name: str = ""
    state: str = ""
    parts: tuple[_Bar, ...] = ()


@dataclass(frozen=True, slots=True)
class _Mark:
    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: a step, or a part of the one above."""

    name: str
    state: str
    start: str
    time: str
    size: str
    is_part: bool = False


def timeline_page(profile: Profile, title: str) -> str:
    """The HTML."""
    ran = sorted((step for step in profile.steps if step.state != "kept"), key=lambda step: step.start)
    left = round(max((len(step.name) for step in ran), default=0) * LETTER) + 10
    scale = _BARS / profile.seconds if profile.seconds else 1.0
    bars = [_bar(step, index, left, scale) for index, step in enumerate(ran)]
    kept = len(profile.steps) - len(ran)
    return render(
        "timeline.html.j2",
        title=title,
        summary=f"{profile.seconds:.1f} s; steps: {len(ran)} ran, {kept} kept",
        width=left + _BARS + _MARGIN,
        height=_HEAD + _ROW * len(ran),
        marks=list(_marks(profile.seconds, left, scale)),
        bars=bars,
        bar_height=_BAR,
        rows=list(rows(profile)),
    )


def rows(profile: Profile) -> Iterator[Row]:
    """The table: every step, first those that ran by the time of their start, each with its parts."""
    for step in sorted(profile.steps, key=lambda step: (step.state == "kept", step.start)):
        if step.state == "kept":
            yield Row(step.name, step.state, "", "", size_text(step.size))
            continue
        size = "" if step.state == "failed" else size_text(step.size)
        yield Row(step.name, step.state, f"{step.start:.1f} s", f"{step.seconds:.1f} s", size)
        for part in step.parts:
            yield Row(part.name, "", f"{part.start:.1f} s", f"{part.seconds:.1f} s", "", is_part=True)


def _bar(step: StepProfile, index: int, left: int, scale: float) -> _Bar:
    def place(one: StepProfile | Part) -> tuple[float, float, str]:
        return round(left + one.start * scale, 1), round(max(1.0, one.seconds * scale), 1), _title(one)

    parts = tuple(_Bar(*place(part)) for part in step.parts)
    return _Bar(*place(step), _HEAD + index * _ROW, step.name, step.state, parts)


def _title(one: StepProfile | Part) -> str:
    return f"{one.name}: {one.seconds:.1f} s, from {one.start:.1f} s on"


def _marks(seconds: float, left: int, scale: float) -> Iterator[_Mark]:
    """About eight round times over the whole width."""
    step = next((step for step in _STEPS_OF_SCALE if seconds / step <= _MARKS), _STEPS_OF_SCALE[-1])
    for number in range(int(seconds / step) + 1):
        yield _Mark(round(left + number * step * scale, 1), f"{number * step:g} s")
