"""Run steps: each once, as soon as all that it reads is there, several side by side, every output kept."""

from __future__ import annotations

import errno
import os
import shlex
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.cache import Cache, Rooms, default_folder
from imagebuilder.errors import ImagebuilderError, StepError, UserError
from imagebuilder.events import Event, OutputLine, PartFinished, Report, StepFailed, StepFinished, StepStarted
from imagebuilder.host import clock, files
from imagebuilder.host.machine import Machine
from imagebuilder.plan.model import Plan, PlannedStep

_ENOUGH = 1 << 20
_LAST_LINES = 200
_FULL_BUILD_ROOT = "the build root is full: give `build_root_size` in group_vars/on_imagebuild a larger size"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step that fills a folder and failed: the paths that it read, what there is of its output, its last lines."""

    step: PlannedStep
    inputs: Mapping[str, tuple[Path, ...]]
    output: Path
    said: tuple[str, ...]
    error: ImagebuilderError


MachineFor = Callable[[PlannedStep, Report], Machine]
"""Gives a step its machine, which tells what happens."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What running steps needs beside them."""

    cache: Cache
    rooms: Rooms
    machine_for: MachineFor
    report: Report
    jobs: int
    keep_failed: Callable[[Attempt], None] | None = None
    """Takes over what a failed step leaves."""


def execute(plan: Plan, steps: Sequence[PlannedStep], execution: Execution) -> None:
    """Run `steps` of a plan; all that they read and that is not among them is in the cache.

    Raises StepError for the first that fails. Steps that run beside a failed
    one come to their end first; none is started after it.
    """
    missing = {step.id for step in steps}
    waiting = list(steps)
    running: dict[Future[None], PlannedStep] = {}
    failure: StepError | None = None
    with ThreadPoolExecutor(max_workers=execution.jobs) as pool:
        while running or (waiting and not failure):
            ready = [] if failure else [step for step in waiting if not step.needs & missing]
            for step in ready[: execution.jobs - len(running)]:
                waiting.remove(step)
                running[pool.submit(_run, plan, step, execution)] = step
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                try:
                    future.result()
                    missing.discard(step.id)
                except StepError as error:
                    failure = failure or error
    if failure:
        raise failure


def _run(plan: Plan, step: PlannedStep, execution: Execution) -> None:
    cache, report, began = execution.cache, execution.report, clock.monotonic()
    parts: list[tuple[str, float]] = []
    said: deque[str] = deque(maxlen=_LAST_LINES)
    inputs: Mapping[str, tuple[Path, ...]] = {}
    output: Path | None = None

    def heard(event: Event) -> None:
        if isinstance(event, PartFinished):
            parts.append((event.part, event.seconds))
        if isinstance(event, OutputLine):
            said.append(event.text)
        report(event)

    report(StepStarted(step.name))
    try:
        with cache.doing(step):
            record = cache.find(step)  # another build may have done it meanwhile
            if record is None:
                output = cache.begin(execution.rooms, step)
                inputs = {role: tuple(cache.path(plan.step(i)) for i in ids) for role, ids in step.inputs.items()}
                step.step.run(execution.machine_for(step, heard), inputs, output)
                record = cache.keep(step, output, clock.monotonic() - began, tuple(parts))
    except (ImagebuilderError, OSError) as error:
        cause = _explained(error, cache)
        report(StepFailed(step.name, clock.monotonic() - began, cause.message))
        if output and step.step.makes_folder:
            _keep(Attempt(step, inputs, output, tuple(said), cause), execution)
        raise StepError(step.name, cause) from error
    report(StepFinished(step.name, clock.monotonic() - began, record.size))


def _keep(attempt: Attempt, execution: Execution) -> None:
    """Keep what the step left, if that is wanted, and say how to look at it where nothing better is known."""
    hint = None
    if execution.keep_failed:
        try:
            execution.keep_failed(attempt)
            words = ["imagebuilder", "shell", "--failed", attempt.step.name]
            words += ["--cache", str(execution.cache.folder)] if execution.cache.folder != default_folder() else []
            hint = f"look around: `{shlex.join(words)}`"
        except OSError as error:
            hint = f"what the step left could not be kept: {error}"
    elif not isinstance(attempt.error, UserError):
        hint = "`build --keep-failed` keeps what the step leaves, `imagebuilder shell --failed` opens it"
    attempt.error.hint = attempt.error.hint or hint


def _full_cache(cache: Cache) -> str:
    return (
        f"{cache.folder} is full: `imagebuilder store gc` removes what nothing needs, `--cache DIR` takes another disk"
    )


def _explained(error: ImagebuilderError | OSError, cache: Cache) -> ImagebuilderError:
    """An error as one of ours, with a hint where the machine's own words are not enough."""
    if isinstance(error, OSError):
        error = ImagebuilderError.of(error)
    full = os.strerror(errno.ENOSPC)
    if full in error.message or full in error.detail:
        error.hint = _FULL_BUILD_ROOT if files.free_bytes(cache.folder) > _ENOUGH else _full_cache(cache)
    return error
