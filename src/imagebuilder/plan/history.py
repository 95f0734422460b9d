"""What was done before, as far as a plan asks for it: records of steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from imagebuilder.plan.model import PlannedStep
from imagebuilder.store.record import Record


@dataclass(frozen=True, slots=True)
class Past:
    """The last step of some name that was done: its id and, unless that is gone, its record."""

    id: str
    record: Record | None


@dataclass(frozen=True, slots=True)
class History:
    """What was done before: the record of each step whose output is there, by id, and the last of each name."""

    kept: Mapping[str, Record]
    last: Mapping[str, Past]


def expected(steps: Sequence[PlannedStep], history: History) -> dict[str, float]:
    """By id the seconds that steps will take, of those that were done before."""
    last = {step.id: history.last.get(step.name) for step in steps}
    return {step_id: past.record.seconds for step_id, past in last.items() if past and past.record}
