"""How progress looks: one live line a running step on a terminal, plain lines elsewhere, or JSON lines.

All of it goes to standard error but the JSON, which is data.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from imagebuilder.events import (
    ArtifactPublished,
    Event,
    Note,
    OutputLine,
    Progress,
    Report,
    StepFailed,
    StepFinished,
    StepStarted,
)

if TYPE_CHECKING:
    from rich.progress import Progress as Display

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(size: int) -> str:
    """Bytes in decimal units: 1536 is `1.5 kB`."""
    value, unit = float(size), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 or value >= 100 else f"{value:.1f} {_UNITS[unit]}"


def line_of(event: Event) -> str:
    """An event as one line of text; "" for those that are too fine for a log."""
    match event:
        case StepStarted():
            return f"{event.step} ..."
        case StepFinished():
            return f"{event.step}: done in {event.seconds:.1f} s, {size_text(event.size)}"
        case StepFailed():
            return f"{event.step}: failed after {event.seconds:.1f} s"
        case Progress():
            return f"{event.step}: {event.message}"
        case Note():
            return f"note: {event.step + ': ' if event.step else ''}{event.message}"
        case ArtifactPublished():
            return f"{event.path}  {size_text(event.size)}  sha256 {event.sha256[:12]}"
        case _:
            return ""


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
    print(json.dumps({"event": type(event).__name__, **dataclasses.asdict(event)}), flush=True)


def _print_line(event: Event, *, verbose: bool) -> None:
    text = line_of(event)
    if verbose and isinstance(event, OutputLine):
        text = f"{event.step} | {event.text}"
    if text:
        print(text, file=sys.stderr, flush=True)


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
        tasks: dict[str, int] = {}
        yield lambda event: _show(event, display, tasks)


def _show(event: Event, display: Display, tasks: dict[str, int]) -> None:
    from rich.progress import TaskID

    match event:
        case StepStarted():
            tasks[event.step] = display.add_task(event.step, total=None, now="")
        case Progress() if event.step in tasks:
            display.update(TaskID(tasks[event.step]), now=event.message)
        case StepFinished() | StepFailed() if event.step in tasks:
            display.remove_task(TaskID(tasks.pop(event.step)))
            display.console.print(line_of(event), markup=False, highlight=False)
        case _:
            if text := line_of(event):
                display.console.print(text, markup=False, highlight=False)
