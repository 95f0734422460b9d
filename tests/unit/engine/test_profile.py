"""From a build's events to its profile, of which the last are kept."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from imagebuilder.engine import profile
from imagebuilder.engine.profile import Recorder, StepProfile, recorded
from imagebuilder.errors import StepError, UserError
from imagebuilder.events import Event, Note, PartFinished, StepFailed, StepFinished, StepKept, StepStarted

BUILD: tuple[Event, ...] = (
    StepKept("a", 7),
    StepStarted("b"),
    PartFinished("b", "ansible: one", 1.0),
    StepStarted("c"),
    PartFinished("b", "ansible", 2.0),
    StepFailed("c", 1.5, "why"),
    StepFinished("b", 3.0, 9),
    Note("b", "too late"),
)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on by a second with each look."""
    ticks = iter(range(1000, 2000))
    monkeypatch.setattr("imagebuilder.host.clock.monotonic", lambda: float(next(ticks)))


@pytest.mark.usefixtures("ticking")
def test_steps_and_their_parts_have_a_start_and_a_duration() -> None:
    heard: list[Event] = []
    recorder = Recorder(heard.append)
    for event in BUILD:
        recorder(event)
    assert heard == list(BUILD)
    kept, failed, done = recorder.profile.steps
    assert kept == StepProfile("a", "kept", 0.0, 0.0, 7)
    assert failed == StepProfile("c", "failed", 4.0, 1.5, 0)
    assert (done.name, done.state, done.start, done.seconds, done.size) == ("b", "done", 2.0, 3.0, 9)
    assert [(part.name, part.start) for part in done.parts] == [("ansible: one", 2.0), ("ansible", 3.0)]
    assert recorder.profile.seconds == 5.5


def test_profile_is_kept_however_the_build_ends_but_not_when_nothing_was_done(tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    with recorded(lambda event: None, folder) as recorder:
        recorder(StepKept("a", 7))
    assert not folder.exists()
    with suppress(StepError), recorded(lambda event: None, folder) as recorder:
        for event in BUILD:
            recorder(event)
        raise StepError("c", UserError("why"))
    written = json.loads((folder / "1.json").read_text())
    states = [(step["name"], step["state"]) for step in written["steps"]]
    assert states == [("a", "kept"), ("c", "failed"), ("b", "done")]


def test_last_profiles_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_KEPT_PROFILES", 3)
    for number in range(12):
        with recorded(lambda event: None, tmp_path) as recorder:
            recorder(StepFinished(str(number), 1, 1))
    left = {path.stem: json.loads(path.read_text())["steps"][0]["name"] for path in tmp_path.glob("*.json")}
    assert left == {"10": "9", "11": "10", "12": "11"}
