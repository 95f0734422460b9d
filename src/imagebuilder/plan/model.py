"""A plan: steps in an order in which they can run, the artifacts that come out of them, and what boots together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from imagebuilder.resolve.deb import Deb
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

    @property
    def debs(self) -> frozenset[Deb]:
        """The package files that it reads."""
        return frozenset(_debs(self.step))


def _debs(value: object) -> Iterator[Deb]:
    """The packages anywhere in a step's fields."""
    if isinstance(value, Deb):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _debs(item)
    elif dataclasses.is_dataclass(value):
        for one in dataclasses.fields(value):
            yield from _debs(getattr(value, one.name))


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that the build yields: `name` in the artifact folder, the output of `step`, of a media type of ours.

    `packages` is the step that lists the packages in it; `footing`, of an overlay, the one that tells what it is on,
    `notes` the one that writes what nodes have to know of it.
    """

    name: str
    image: str
    step: str
    media_type: str
    packages: str
    footing: str = ""
    notes: str = ""


@dataclass(frozen=True, slots=True)
class Bootable:
    """What boots together under a name: kernel, initrd, base, overlays from the bottom to the top.

    `node_layer` says whether a node may stack a layer of its own on them.
    """

    name: str
    artifacts: tuple[Artifact, ...]
    node_layer: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """An overlay, by its image, that was made on another base; `step` tells whether it goes with today's."""

    image: str
    step: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, each after all that it reads, the artifacts, what boots together, and the time that all of it carries.

    `checks` are of the overlays that were kept (plan/keeping.py).
    """

    steps: tuple[PlannedStep, ...]
    artifacts: tuple[Artifact, ...]
    bootables: tuple[Bootable, ...] = ()
    epoch: int = 0
    checks: tuple[Check, ...] = ()
    _by_id: dict[str, PlannedStep] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        self._by_id.update((step.id, step) for step in self.steps)

    def step(self, step_id: str) -> PlannedStep:
        """The step of an id. Raises KeyError."""
        return self._by_id[step_id]

    def to_do(self, is_kept: Callable[[PlannedStep], bool]) -> tuple[PlannedStep, ...]:
        """The steps that must run for artifacts and checks, in order; `is_kept` tells whose outputs are there already.

        What a kept output was once made from need not be there any more.
        """
        wanted: set[str] = set()
        waiting = [step for a in self.artifacts for step in (a.step, a.packages, a.footing, a.notes) if step]
        waiting += [check.step for check in self.checks]
        while waiting:
            step = self.step(waiting.pop())
            if step.id not in wanted and not is_kept(step):
                wanted.add(step.id)
                waiting += step.needs
        return tuple(step for step in self.steps if step.id in wanted)


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

    def plan(self, bootables: tuple[Bootable, ...] = (), epoch: int = 0) -> Plan:
        """The finished plan."""
        return Plan(tuple(self._steps.values()), tuple(self._artifacts), bootables, epoch)
