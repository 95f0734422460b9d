"""Progress as values: the console, `--json` and the web page each print them in their own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `step` names the step it belongs to, "" for the build as a whole."""

    step: str


@dataclass(frozen=True, slots=True)
class Planned(Event):
    """It is known what there is to do: of `total` steps `kept` need not run; the rest takes about `seconds`.

    `known` is false when some of the rest was never done: then it takes longer.
    """

    total: int
    kept: int
    seconds: float
    known: bool


@dataclass(frozen=True, slots=True)
class StepKept(Event):
    """A step that need not run: its output of `size` bytes is there already."""

    size: int


@dataclass(frozen=True, slots=True)
class Outlook(Event):
    """A step began or ended: now `done` of `total` are done, the rest takes about `seconds` (as in `Planned`)."""

    total: int
    done: int
    seconds: float
    known: bool


@dataclass(frozen=True, slots=True)
class StepStarted(Event):
    """A step begins."""


@dataclass(frozen=True, slots=True)
class StepFinished(Event):
    """A step ended well after `seconds`; its output holds `size` bytes."""

    seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class StepFailed(Event):
    """A step ended badly."""

    seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """What a running step does now: a phase, an Ansible task, a package; `size` bytes if it is about bytes."""

    message: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class PartFinished(Event):
    """Something within a running step ended after `seconds`: an action, an Ansible task."""

    part: str
    seconds: float


@dataclass(frozen=True, slots=True)
class OutputLine(Event):
    """One line that a tool printed; shown with `--verbose`, kept for the error message."""

    text: str


@dataclass(frozen=True, slots=True)
class Note(Event):
    """Something that the user should know and that stops nothing."""

    message: str


@dataclass(frozen=True, slots=True)
class OverlayKept(Event):
    """An overlay (`step` is its image) that was made on another base than the one of now stays as it is.

    `verdict` says how it fits; `shadows` are paths that changed below and that it hides, `databases` those of
    which it has an old copy.
    """

    verdict: str
    shadows: tuple[str, ...]
    databases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ArtifactPublished(Event):
    """A finished file in the artifact folder."""

    path: str
    size: int
    sha256: str


Report = Callable[[Event], None]
