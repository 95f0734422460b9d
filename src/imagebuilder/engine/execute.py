"""Run a plan: each step once, as soon as all that it reads is there, several side by side."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.workspace import Workspace
from imagebuilder.errors import ImagebuilderError, StepError
from imagebuilder.events import Report, StepFailed, StepFinished, StepStarted
from imagebuilder.host import clock
from imagebuilder.host.files import size_of
from imagebuilder.host.machine import Machine
from imagebuilder.plan.model import Plan, PlannedStep

MachineFor = Callable[[PlannedStep, Path], Machine]
"""Gives a step its machine, with its scratch folder."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What running a plan needs beside the plan."""

    workspace: Workspace
    machine_for: MachineFor
    report: Report
    jobs: int


def execute(plan: Plan, execution: Execution) -> Mapping[str, Path]:
    """Run every step; returns the outputs by step id. Raises StepError for the first that fails.

    Steps that run beside a failed one come to their end first; none is started after it.
    """
    outputs: dict[str, Path] = {}
    waiting = list(plan.steps)
    running: dict[Future[Path], PlannedStep] = {}
    failure: StepError | None = None
    with ThreadPoolExecutor(max_workers=execution.jobs) as pool:
        while running or (waiting and not failure):
            ready = [] if failure else [step for step in waiting if step.needs <= outputs.keys()]
            for step in ready[: execution.jobs - len(running)]:
                waiting.remove(step)
                running[pool.submit(_run, step, dict(outputs), execution)] = step
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                try:
                    outputs[step.id] = future.result()
                except StepError as error:
                    failure = failure or error
    if failure:
        raise failure
    return outputs


def _run(step: PlannedStep, outputs: Mapping[str, Path], execution: Execution) -> Path:
    report, began = execution.report, clock.monotonic()
    output = execution.workspace.output(step)
    inputs = {role: tuple(outputs[i] for i in ids) for role, ids in step.inputs.items()}
    report(StepStarted(step.name))
    try:
        if step.step.makes_folder:
            output.mkdir()
        machine = execution.machine_for(step, execution.workspace.scratch(step))
        step.step.run(machine, inputs, output)
    except (ImagebuilderError, OSError) as error:
        cause = _explained(error)
        report(StepFailed(step.name, clock.monotonic() - began, cause.message))
        raise StepError(step.name, cause) from error
    report(StepFinished(step.name, clock.monotonic() - began, size_of(output)))
    return output


def _explained(error: ImagebuilderError | OSError) -> ImagebuilderError:
    """An error as one of ours, with a hint where the machine's own words are not enough."""
    if isinstance(error, OSError):
        error = ImagebuilderError.of(error)
    full = os.strerror(errno.ENOSPC)
    if full in error.message or full in error.detail:
        error.hint = "the build root is full: give `build_root_size` in group_vars/on_imagebuild a larger size"
    return error
