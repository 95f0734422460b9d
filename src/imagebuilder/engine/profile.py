"""What a build spent its time on: from its events to a profile, and the profiles of the last builds.

CACHE/profiles/NUMBER.json    the larger the number, the later the build
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.events import Event, PartFinished, Report, StepFailed, StepFinished, StepKept, StepStarted
from imagebuilder.host import clock, files

_KEPT_PROFILES = 20


@dataclass(frozen=True, slots=True)
class Part:
    """Something within a step: an action, an Ansible task (`ansible: ROLE : TASK`). All times are in seconds."""

    name: str
    start: float
    seconds: float


@dataclass(frozen=True, slots=True)
class StepProfile:
    """A step of a build: `state` is done, failed or kept; `start` counts from the build's, `size` is in bytes."""

    name: str
    state: str
    start: float
    seconds: float
    size: int
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """The steps of a build in the order in which they ended, first those that were there already."""

    steps: tuple[StepProfile, ...]

    @property
    def seconds(self) -> float:
        """From the start of the build to the end of its last step."""
        return max((step.start + step.seconds for step in self.steps), default=0.0)


class Recorder:
    """Passes events on and remembers what they say about time. Steps may report from several threads."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._began = clock.monotonic()
        self._started: dict[str, float] = {}
        self._parts: dict[str, list[Part]] = {}
        self._steps: list[StepProfile] = []

    def __call__(self, event: Event) -> None:
        now = clock.monotonic() - self._began
        match event:
            case StepStarted():
                self._started[event.step] = now
                self._parts[event.step] = []
            case PartFinished() if event.step in self._parts:
                self._parts[event.step].append(Part(event.part, now - event.seconds, event.seconds))
            case StepKept():
                self._steps.append(StepProfile(event.step, "kept", 0.0, 0.0, event.size))
            case StepFinished():
                self._ended(event, "done", event.size)
            case StepFailed():
                self._ended(event, "failed", 0)
            case _:
                pass
        self._report(event)

    @property
    def profile(self) -> Profile:
        """As far as it has come."""
        return Profile(tuple(self._steps))

    def _ended(self, event: StepFinished | StepFailed, state: str, size: int) -> None:
        start = self._started.get(event.step, 0.0)
        parts = sorted(self._parts.get(event.step, ()), key=lambda part: (part.start, -part.seconds))
        self._steps.append(StepProfile(event.step, state, start, event.seconds, size, tuple(parts)))


@contextmanager
def recorded(report: Report, folder: Path) -> Iterator[Recorder]:
    """Record a build; its profile, if anything was done, is kept in `folder`, with those of some builds before."""
    recorder = Recorder(report)
    try:
        yield recorder
    finally:
        if any(step.state != "kept" for step in recorder.profile.steps):
            _keep(recorder.profile, folder)


def _keep(profile: Profile, folder: Path) -> None:
    with files.locked(folder / "lock"):
        numbers = sorted(int(path.stem) for path in folder.glob("*.json"))
        text = json.dumps(dataclasses.asdict(profile))
        files.publish_text(text, folder / f"{numbers[-1] + 1 if numbers else 1}.json")
        for number in numbers[: len(numbers) + 1 - _KEPT_PROFILES]:
            (folder / f"{number}.json").unlink()
