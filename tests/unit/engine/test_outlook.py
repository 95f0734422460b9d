"""What a build tells of itself as a whole: what need not run, and how much is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.outlook import Forecast, history_of
from imagebuilder.events import Event, Note, Outlook, Planned, StepFinished, StepKept, StepStarted
from imagebuilder.plan.history import Past
from imagebuilder.plan.model import Artifact, Builder, Plan
from imagebuilder.steps.base import identity
from imagebuilder.steps.squashfs import Squashfs
from imagebuilder.store.record import Record


def _plan(level: int) -> Plan:
    """a -> b -> c, of which only c depends on `level`."""
    builder = Builder()
    a = builder.add("a", Squashfs(1))
    b = builder.add("b", Squashfs(2), lower=(a,))
    c = builder.add("c", Squashfs(3, level=level), lower=(b,))
    for step in (b, c):
        builder.yields(Artifact(step, step, step, "a/type", step))
    return builder.plan()


def _done(cache: Cache, tree: Path, plan: Plan) -> None:
    """As after a build in which each step took ten seconds."""
    cache.layout.prepare()
    for step in plan.steps:
        blob = cache.layout.put(step.name.encode())
        record = Record(step.name, identity(step.step), step.inputs, blob.sha256, blob.size, 10.0)
        cache.actions.keep(step.id, record)
        cache.note_latest(tree, step)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def test_history_knows_what_is_kept_and_what_was_done_last(cache: Cache, tmp_path: Path) -> None:
    before, now = _plan(1), _plan(2)
    _done(cache, tmp_path, before)
    history = history_of(now, tmp_path, cache)
    assert set(history.kept) == {step.id for step in before.steps[:2]}
    last = history.last["c"]
    assert last.id == before.steps[2].id
    assert last.record
    assert last.record.step["level"] == 1


def test_record_that_is_gone_is_no_record(cache: Cache, tmp_path: Path) -> None:
    before = _plan(1)
    _done(cache, tmp_path, before)
    cache.actions.forget(before.steps[2].id)
    assert history_of(_plan(2), tmp_path, cache).last["c"] == Past(before.steps[2].id, None)


def test_forecast_tells_what_is_kept_and_after_each_step_what_is_left(cache: Cache, tmp_path: Path) -> None:
    events: list[Event] = []
    _done(cache, tmp_path, _plan(1))
    plan = _plan(2)
    forecast = Forecast(plan, history_of(plan, tmp_path, cache), 2, events.append)
    forecast.begin()
    assert events == [StepKept("a", 1), StepKept("b", 1), Planned("", 3, 2, 10.0, True)]
    events.clear()
    said = (Note("c", "x"), StepStarted("packages: fetch"), StepStarted("c"), StepFinished("c", 9, 1))
    for event in said:
        forecast(event)
    outlooks = [event for event in events if isinstance(event, Outlook)]
    assert [event for event in events if not isinstance(event, Outlook)] == list(said)
    assert [(o.total, o.done, o.known) for o in outlooks] == [(3, 2, True), (3, 3, True)]
    assert 9 < outlooks[0].seconds <= 10
    assert outlooks[1].seconds == 0


def test_forecast_says_when_a_step_was_never_done(cache: Cache, tmp_path: Path) -> None:
    events: list[Event] = []
    plan = _plan(1)
    Forecast(plan, history_of(plan, tmp_path, cache), 1, events.append).begin()
    assert events == [Planned("", 3, 0, 0.0, False)]
