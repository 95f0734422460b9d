"""Overlays that stay as they are when only what is below them has changed (docs/decisions/0011). Pure.

A plan says of every overlay that it is made on the base of today. Where the
one that was made last differs in nothing but the base that it was made on, and
the time that artifacts carry, its own steps take the place of the planned
ones, and a step is added that checks whether it goes with what is below now.
An id keeps its meaning: that of a kept step says on which layers it was made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from imagebuilder.plan.model import Artifact, Check, Plan, PlannedStep
from imagebuilder.steps.base import Step, identity, step_id
from imagebuilder.steps.fit import CheckFit
from imagebuilder.store.record import Record

_OF_THE_BASE = frozenset({"epoch", "built"})
"""Fields of an overlay's steps that are the base's: when it was made, and its digest if an earlier build made it."""


_PARTS = ("step", "packages", "footing")
"""An artifact's steps, by the names of its fields; those of an overlay all read its layer."""


@dataclass(frozen=True, slots=True)
class Past:
    """What was done before: whether a step's output is there, and the last step of a name if its output is."""

    has: Callable[[PlannedStep], bool]
    recall: Callable[[str], tuple[str, Record] | None]


def keep_overlays(plan: Plan, past: Past, without: Collection[str] = ()) -> Plan:
    """The plan with the overlays kept that can be, but for the images `without`."""
    overlays = {plan.step(a.step).inputs["upper"][0]: a for a in plan.artifacts if a.footing}
    moved: dict[str, str] = {}
    kept: dict[str, PlannedStep] = {}
    steps: dict[str, PlannedStep] = {}
    uppers: set[str] = set()
    checking: list[tuple[Artifact, PlannedStep]] = []
    for step in plan.steps:
        now = kept.get(step.id) or _on(step, moved)
        if artifact := overlays.get(step.id):
            exact = _on(plan.step(artifact.step), {**moved, step.id: now.id})
            is_due = artifact.image not in without and not past.has(exact)
            if is_due and (found := _found(plan, artifact, now, uppers, past)):
                kept |= found
                checking.append((artifact, _check(artifact, now, found)))
                now = found[step.id]
            uppers.add(now.id)
        moved[step.id] = now.id
        steps[now.id] = now
    parts = (*_PARTS, "notes")
    artifacts = {a: replace(a, **{part: moved.get(getattr(a, part), "") for part in parts}) for a in plan.artifacts}
    bootables = tuple(replace(b, artifacts=tuple(artifacts[a] for a in b.artifacts)) for b in plan.bootables)
    checks = tuple(Check(artifact.image, step.id) for artifact, step in checking)
    all_steps = (*steps.values(), *(step for _, step in checking))
    return Plan(all_steps, tuple(artifacts.values()), bootables, plan.epoch, checks)


def _on(step: PlannedStep, moved: Mapping[str, str]) -> PlannedStep:
    """The step on what has taken the place of what it was planned on."""
    inputs = {role: tuple(moved.get(i, i) for i in ids) for role, ids in step.inputs.items()}
    return step if inputs == step.inputs else replace(step, id=step_id(step.step, inputs), inputs=inputs)


def _found(
    plan: Plan, artifact: Artifact, upper: PlannedStep, overlays: Collection[str], past: Past
) -> dict[str, PlannedStep]:
    """By planned id the steps that made the overlay before, all of them or none; `overlays` are those before it."""
    planned = [plan.step(getattr(artifact, part)) for part in _PARTS]
    before = past.recall(upper.name)
    if before is None or before[0] == upper.id or not _same(upper.step, before[1]):
        return {}
    there = before[1].inputs
    on, on_before = ([i for i in lower if i in overlays] for lower in (upper.inputs["lower"], there["lower"]))
    if on != on_before or tuple(there.get("python", ())) != upper.inputs.get("python", ()):
        return {}
    found = {planned[0].inputs["upper"][0]: _as_it_was(upper, *before)}
    for step in planned:
        earlier = past.recall(step.name)
        if earlier is None or not _same(step.step, earlier[1]) or list(earlier[1].inputs["upper"]) != [before[0]]:
            return {}
        found[step.id] = _as_it_was(step, *earlier)
    return found


def _same(step: Step, record: Record) -> bool:
    """Whether a step is what was done, but for what is the base's."""
    now = identity(step)
    names = {*now, *record.step} - _OF_THE_BASE
    return all(now.get(name) == record.step.get(name) for name in names)


def _as_it_was(step: PlannedStep, earlier_id: str, record: Record) -> PlannedStep:
    inputs = {role: tuple(ids) for role, ids in record.inputs.items()}
    return replace(step, id=earlier_id, inputs=inputs)


def _check(artifact: Artifact, upper: PlannedStep, found: Mapping[str, PlannedStep]) -> PlannedStep:
    """The check of a kept overlay against what its layer would be made on today."""
    kept, footing = found[artifact.footing].inputs["upper"], (found[artifact.footing].id,)
    inputs = {"lower": upper.inputs["lower"], "upper": kept, "footing": footing}
    return PlannedStep(step_id(CheckFit(), inputs), f"{artifact.image}: check", CheckFit(), inputs)
