"""Which steps of a plan must run, why, and what that will take. Pure: what was done before comes in as records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from imagebuilder.plan.differences import Change, differences
from imagebuilder.plan.estimate import makespan
from imagebuilder.plan.history import History, expected
from imagebuilder.plan.model import Plan, PlannedStep
from imagebuilder.steps.base import identity
from imagebuilder.store.record import Record


class State(StrEnum):
    """What happens to a step: its output is there; it runs; its output is not there, and nothing needs it."""

    KEPT = "kept"
    RUNS = "runs"
    UNNEEDED = "unneeded"


@dataclass(frozen=True, slots=True)
class StepOutlook:
    """A step, what happens to it, for one that runs why (`reasons` in words, `changes` of its own fields).

    `seconds` and `size` in bytes are of the last step of its name, `size` of one
    that is kept is its own; None where nothing is known.
    """

    step: PlannedStep
    state: State
    reasons: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    seconds: float | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class PlanOutlook:
    """All steps of a plan; those that run take about `seconds` together, more if not all of them are known."""

    steps: tuple[StepOutlook, ...]
    seconds: float

    @property
    def running(self) -> tuple[StepOutlook, ...]:
        """The steps that run."""
        return tuple(step for step in self.steps if step.state is State.RUNS)

    @property
    def is_known(self) -> bool:
        """Whether each step that runs was done before."""
        return all(step.seconds is not None for step in self.running)

    @property
    def size(self) -> int:
        """The bytes that the steps that run will write, as far as they are known."""
        return sum(step.size or 0 for step in self.running)


def explain(plan: Plan, history: History, jobs: int) -> PlanOutlook:
    """What a build of `plan` with `jobs` steps side by side does and why."""
    todo = plan.to_do(lambda step: step.id in history.kept)
    running = {step.id for step in todo}
    steps = tuple(_outlook(plan, step, history, running) for step in plan.steps)
    return PlanOutlook(steps, makespan(todo, expected(todo, history), jobs))


def _outlook(plan: Plan, step: PlannedStep, history: History, running: set[str]) -> StepOutlook:
    if record := history.kept.get(step.id):
        return StepOutlook(step, State.KEPT, size=record.size)
    if step.id not in running:
        return StepOutlook(step, State.UNNEEDED)
    past = history.last.get(step.name)
    if past is None:
        return StepOutlook(step, State.RUNS, ("it was never done before",))
    if past.id == step.id or past.record is None:
        gone = "its output is gone" if past.id == step.id else "nothing is known any more of the last time"
        return StepOutlook(step, State.RUNS, (gone,))
    changes = tuple(differences(dict(past.record.step), identity(step.step)))
    reasons = (*map(str, changes), *_of_inputs(plan, step, past.record, running))
    return StepOutlook(step, State.RUNS, reasons, changes, past.record.seconds, past.record.size)


def _of_inputs(plan: Plan, step: PlannedStep, before: Record, running: set[str]) -> Iterator[str]:
    """What is different about the steps that it reads."""
    known = {i for ids in before.inputs.values() for i in ids}
    other = [plan.step(i) for ids in step.inputs.values() for i in ids if i not in known]
    for read in dict.fromkeys(one.id for one in other):
        name = plan.step(read).name
        yield f"its input `{name}` runs" if read in running else f"its input `{name}` is another one"
    if not other and {role: list(ids) for role, ids in step.inputs.items()} != before.inputs:
        yield "it reads fewer steps, or in another order"
