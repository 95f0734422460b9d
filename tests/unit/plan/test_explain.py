"""Which steps run and why, told from the records of what was done before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from imagebuilder.plan.explain import PlanOutlook, State, explain
from imagebuilder.plan.history import History, Past
from imagebuilder.plan.model import Artifact, Builder, Plan
from imagebuilder.steps.base import identity
from imagebuilder.steps.commands import RunCommands
from imagebuilder.steps.provision import Provision
from imagebuilder.steps.squashfs import Squashfs
from imagebuilder.store.record import Record

NAMES = ("base: provision", "base: squashfs", "x: provision", "x: squashfs")


def _plan(base: str = "a", extra: str = "b", epoch: int = 5) -> Plan:
    """A base and an overlay on it."""
    builder = Builder()
    root = builder.add(NAMES[0], Provision((RunCommands((base,)),)))
    squashed = builder.add(NAMES[1], Squashfs(epoch), lower=(root,))
    upper = builder.add(NAMES[2], Provision((RunCommands((extra,)),)), lower=(root,))
    packed = builder.add(NAMES[3], Squashfs(epoch, level=9), lower=(upper,))
    for step in (squashed, packed):
        builder.yields(Artifact(step, step, step, "a/type", step))
    return builder.plan()


def _history(plan: Plan, lost: Iterable[str] = ()) -> History:
    """As after a build of `plan`, each step of which took as many seconds as its name is long."""
    records = {
        step.id: Record(
            step.name, identity(step.step), {k: list(v) for k, v in step.inputs.items()}, "", 100, len(step.name)
        )
        for step in plan.steps
    }
    kept = {step.id: records[step.id] for step in plan.steps if step.name not in lost}
    return History(kept, {step.name: Past(step.id, kept.get(step.id)) for step in plan.steps})


def _states(outlook: PlanOutlook) -> Sequence[State]:
    return [step.state for step in outlook.steps]


def _reasons(outlook: PlanOutlook) -> dict[str, tuple[str, ...]]:
    return {step.step.name: step.reasons for step in outlook.running}


def test_nothing_changed_nothing_runs() -> None:
    plan = _plan()
    outlook = explain(plan, _history(plan), 2)
    assert _states(outlook) == [State.KEPT] * 4
    assert (outlook.seconds, outlook.size, outlook.is_known) == (0, 0, True)
    assert [step.size for step in outlook.steps] == [100] * 4


def test_change_is_told_where_it_was_made_and_above_it_which_input_runs() -> None:
    outlook = explain(_plan(extra="c"), _history(_plan()), 2)
    assert _reasons(outlook) == {
        "x: provision": ("run > commands: `b` -> `c`",),
        "x: squashfs": ("its input `x: provision` runs",),
    }
    assert [change.path for change in outlook.running[0].changes] == [("actions", "run", "commands")]
    assert outlook.seconds == len("x: provision") + len("x: squashfs")
    assert outlook.size == 200


def test_change_below_an_overlay_runs_all_that_stands_on_it() -> None:
    outlook = explain(_plan(base="z"), _history(_plan()), 9)
    assert set(_reasons(outlook)) == set(NAMES)
    assert _reasons(outlook)["x: provision"] == ("its input `base: provision` runs",)


def test_never_done_is_no_estimate() -> None:
    outlook = explain(_plan(), History({}, {}), 2)
    assert set(_reasons(outlook).values()) == {("it was never done before",)}
    assert (outlook.is_known, outlook.seconds) == (False, 0)


def test_output_that_is_gone_is_made_again_only_if_something_needs_it() -> None:
    plan = _plan()
    outlook = explain(plan, _history(plan, lost=("base: provision", "base: squashfs")), 2)
    assert _reasons(outlook) == dict.fromkeys(("base: provision", "base: squashfs"), ("its output is gone",))
    outlook = explain(plan, _history(plan, lost=("base: provision",)), 2)
    assert _states(outlook) == [State.UNNEEDED, State.KEPT, State.KEPT, State.KEPT]


def test_step_whose_last_record_is_gone_says_so() -> None:
    history = _history(_plan(), lost=("x: provision",))
    assert _reasons(explain(_plan(extra="c"), history, 1))["x: provision"] == (
        "nothing is known any more of the last time",
    )


def test_input_that_is_another_one_and_there_already_does_not_run() -> None:
    before, now = _plan(base="z"), _plan()
    history = _history(before)
    kept = {**history.kept, **{i: r for i, r in _history(now).kept.items() if r.name == "base: provision"}}
    reasons = _reasons(explain(now, History(kept, history.last), 1))
    assert reasons["base: squashfs"] == ("its input `base: provision` is another one",)


def test_input_less_is_a_reason_too() -> None:
    builder = Builder()
    a, b = builder.add("a", Squashfs(1)), builder.add("b", Squashfs(2))
    more = Builder()
    for name, epoch in (("a", 1), ("b", 2)):
        more.add(name, Squashfs(epoch))
    more.add("c", Squashfs(3), lower=(a, b))
    c = builder.add("c", Squashfs(3), lower=(b,))
    builder.yields(Artifact("c", "c", c, "a/type", c))
    outlook = explain(builder.plan(), _history(more.plan()), 1)
    assert _reasons(outlook) == {"c": ("it reads fewer steps, or in another order",)}
