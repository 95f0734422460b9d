"""How long steps take together: the critical path, and what `--jobs` makes of it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from imagebuilder.plan.estimate import makespan
from imagebuilder.plan.model import Builder
from imagebuilder.steps.squashfs import Squashfs

# a(5) -> b(3) -> c(2), a -> d(7), and e(6) that reads nothing
NEEDS: Mapping[str, str] = {"a": "", "b": "a", "c": "b", "d": "a", "e": ""}
SECONDS = {"a": 5.0, "b": 3.0, "c": 2.0, "d": 7.0, "e": 6.0}


def _makespan(names: str, jobs: int, running: Mapping[str, float] | None = None) -> float:
    """Of the steps named, with what the running ones still take."""
    builder, ids = Builder(), dict[str, str]()
    for number, (name, needed) in enumerate(NEEDS.items()):
        ids[name] = builder.add(name, Squashfs(number), lower=tuple(ids[n] for n in needed))
    steps = [step for step in builder.plan().steps if step.name in names]
    seconds = {ids[name]: value for name, value in {**SECONDS, **(running or {})}.items()}
    return makespan(steps, seconds, jobs, {ids[name] for name in running or {}})


@pytest.mark.parametrize(
    ("names", "jobs", "expected"),
    [
        ("", 2, 0),
        ("abcde", 1, 23),
        ("abcde", 2, 13),  # a and e; b when a has ended, d when e has; c when b has
        ("abcde", 9, 12),
        ("bcd", 9, 7),  # a is there already
        ("ce", 1, 8),
    ],
)
def test_steps_start_when_what_they_read_is_there_and_a_place_is_free(names: str, jobs: int, expected: float) -> None:
    assert _makespan(names, jobs) == expected


def test_running_steps_take_what_is_left_of_them_and_their_places() -> None:
    assert _makespan("abcde", 2, {"a": 1}) == 13  # b when a has ended, at 1; c, at 4; d when both c and e have
    assert _makespan("be", 1, {"e": 6}) == 9


def test_step_that_was_never_done_takes_no_time() -> None:
    builder = Builder()
    builder.add("new", Squashfs(1))
    assert makespan(builder.plan().steps, {}, 1) == 0
