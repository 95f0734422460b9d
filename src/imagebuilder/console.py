"""How progress looks: one live line a running step on a terminal, plain lines elsewhere, or JSON lines.

All of it goes to standard error but the JSON, which is data.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TextIO

from imagebuilder.events import (
    ArtifactPublished,
    Event,
    Note,
    Outlook,
    OutputLine,
    OverlayKept,
    Planned,
    Progress,
    Report,
    StepFailed,
    StepFinished,
    StepStarted,
)

if TYPE_CHECKING:
    from rich.progress import Progress as Display
    from rich.progress import Task, TaskID

_SHADOWS = 5
_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(size: int) -> str:
    """Bytes in decimal units: 1536 is `1.5 kB`."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def time_text(seconds: float) -> str:
    """A duration for people: `8 s`, `1:05 min`."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60}:{whole % 60:02} min"


def line_of(event: Event) -> str:
    """An event as one line of text; "" for those that are too fine for a log."""
    match event:
        case Planned():
            return _planned(event)
        case StepStarted():
            return f"{event.step} ..."
        case StepFinished():
            return f"{event.step}: done in {event.seconds:.1f} s, {size_text(event.size)}"
        case StepFailed():
            return f"{event.step}: failed after {event.seconds:.1f} s"
        case Progress():
            return f"{event.step}: {_phase(event)}"
        case Note():
            return f"note: {event.step + ': ' if event.step else ''}{event.message}"
        case OverlayKept():
            return _kept(event)
        case ArtifactPublished():
            return f"{event.path}  {size_text(event.size)}  sha256 {event.sha256[:12]}"
        case _:
            return ""


def rest_text(seconds: float, *, known: bool) -> str:
    """How long something still takes: `about 8 s`, or `more than 8 s` when part of it is not known; "" for nothing."""
    return f"{'about' if known else 'more than'} {time_text(seconds)}" if round(seconds) else ""


def _planned(event: Planned) -> str:
    if event.kept == event.total:
        return f"all {event.total} steps are done already"
    rest = rest_text(event.seconds, known=event.known)
    return f"{event.kept} of {event.total} steps are done already" + (f"; the others take {rest}" if rest else "")


def _kept(event: OverlayKept) -> str:
    head = f"note: {event.step}: kept, though its base is another one: {event.verdict}"
    shown = ", ".join(event.shadows[:_SHADOWS])
    more = f" and {len(event.shadows) - _SHADOWS} more" if len(event.shadows) > _SHADOWS else ""
    return f"{head}: {shown}{more} (`--rebuild-overlays` makes it again)" if shown else head


def _phase(event: Progress) -> str:
    return f"{event.message} ({size_text(event.size)})" if event.size else event.message


@contextmanager
def progress(*, as_json: bool, verbose: bool) -> Iterator[Report]:
    """A sink for events in the form that fits: JSON, terminal or log. Safe to call from several threads."""
    lock = Lock()

    def locked(sink: Report) -> Report:
        def report(event: Event) -> None:
            with lock:
                sink(event)

        return report

    if as_json:
        yield locked(_print_json)
    elif sys.stderr.isatty() and not verbose:
        with _terminal() as sink:
            yield locked(sink)
    else:
        yield locked(lambda event: _print_line(event, verbose=verbose))


def _print_json(event: Event) -> None:
    _write_line(sys.stdout, json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)}))


def _print_line(event: Event, *, verbose: bool) -> None:
    text = line_of(event)
    if verbose and isinstance(event, OutputLine):
        text = f"{event.step} | {event.text}"
    if text:
        _write_line(sys.stderr, text)


def _write_line(stream: TextIO, text: str) -> None:
    # One write: `print` makes two, and a signal between them would glue the error that follows onto this line.
    stream.write(f"{text}\n")
    stream.flush()


@contextmanager
def _terminal() -> Iterator[Report]:
    # rich takes a tenth of a second to import: only a person at a terminal waits for it.
    from rich.console import Console
    from rich.progress import Progress as Display
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    # What steps say is text, not rich's markup: `TASK [install x]`.
    step = TextColumn("{task.description}", markup=False)
    now = TextColumn("{task.fields[now]}", markup=False)
    columns = (SpinnerColumn(), step, TimeElapsedColumn(), now)
    with Display(*columns, console=Console(stderr=True), transient=True) as display:
        yield _Screen(display).show


@dataclass(frozen=True, slots=True)
class _Countdown:
    """What is left of a build at any moment, `due` being the second of its line's life at which it should be done."""

    line: Task
    due: float
    known: bool

    def __str__(self) -> str:
        left = rest_text(max(0.0, self.due - (self.line.elapsed or 0.0)), known=self.known)
        return f"{left} left" if left else ""


class _Screen:
    """The live lines: one for the build as a whole, and below it one for each step that runs."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._lines: dict[str, TaskID] = {}

    def show(self, event: Event) -> None:
        """Change the lines as an event says; what ended is printed above them."""
        match event:
            case StepStarted():
                self._lines[event.step] = self._display.add_task(event.step, total=None, now="")
            case Progress() if event.step in self._lines:
                self._display.update(self._lines[event.step], now=_phase(event))
            case Outlook():
                self._look_out(event)
            case _:
                if isinstance(event, StepFinished | StepFailed) and event.step in self._lines:
                    self._display.remove_task(self._lines.pop(event.step))
                if text := line_of(event):
                    self._display.console.print(text, markup=False, highlight=False)

    def _look_out(self, event: Outlook) -> None:
        said = f"{event.done} of {event.total} steps done"
        if "" not in self._lines:
            self._lines[""] = self._display.add_task(said, total=None, now="")
        line = next(task for task in self._display.tasks if task.id == self._lines[""])
        now = _Countdown(line, (line.elapsed or 0.0) + event.seconds, event.known)
        self._display.update(line.id, description=said, now=now)
