"""A plan: steps in an order in which they can run, and the artifacts that come out of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from imagebuilder.steps.base import Step, step_id


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step, the name to show for it (`base: bootstrap`) and, by role, the ids of the steps that it reads."""

    id: str
    name: str
    step: Step
    inputs: Mapping[str, tuple[str, ...]]

    @property
    def needs(self) -> frozenset[str]:
        """The ids of all steps that it reads."""
        return frozenset(i for ids in self.inputs.values() for i in ids)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that the build yields: `name` in the artifact folder, the output of `step` or the file `member` in it."""

    name: str
    image: str
    step: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, each after all that it reads, and the artifacts."""

    steps: tuple[PlannedStep, ...]
    artifacts: tuple[Artifact, ...]


class Builder:
    """Collects steps while a plan is made; the same step asked for twice is one step."""

    def __init__(self) -> None:
        self._steps: dict[str, PlannedStep] = {}
        self._artifacts: list[Artifact] = []

    def add(self, name: str, step: Step, **inputs: Iterable[str]) -> str:
        """Add a step and return its id."""
        ids = {role: tuple(given) for role, given in inputs.items()}
        identity = step_id(step, ids)
        self._steps.setdefault(identity, PlannedStep(identity, name, step, ids))
        return identity

    def yields(self, artifact: Artifact) -> None:
        """Add an artifact."""
        self._artifacts.append(artifact)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Those added so far."""
        return tuple(self._artifacts)

    def plan(self) -> Plan:
        """The finished plan."""
        return Plan(tuple(self._steps.values()), tuple(self._artifacts))
