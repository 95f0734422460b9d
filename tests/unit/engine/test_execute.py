"""A plan runs in order, side by side up to a bound, and stops at the first failure."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.execute import Execution, execute
from imagebuilder.errors import CommandError, ImagebuilderError, StepError
from imagebuilder.events import Event, Report, StepFailed, StepFinished, StepStarted
from imagebuilder.host.machine import Machine
from imagebuilder.plan.model import Builder, Plan, PlannedStep
from imagebuilder.steps.base import NOT_IDENTITY, Inputs, Step
from machine import PlainMachine

FULL = os.strerror(errno.ENOSPC)


@dataclass(frozen=True, slots=True)
class Note(Step):
    """Writes its word after those of its inputs."""

    kind: ClassVar[str] = "note"
    word: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        words = [path.read_text() for role in sorted(inputs) for path in inputs[role]]
        output.write_text(" ".join([*words, self.word]))


@dataclass(frozen=True, slots=True)
class Folder(Step):
    """A folder with a file in it, and one in a scratch folder."""

    kind: ClassVar[str] = "folder"
    makes_folder: ClassVar[bool] = True

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        (output / "file").write_bytes(b"x" * 1000)
        (machine.scratch() / "rubbish").touch()


@dataclass(frozen=True, slots=True)
class Meeting(Step):
    """Ends when `count` of its kind run at the same time."""

    kind: ClassVar[str] = "meeting"
    name: str
    barrier: threading.Barrier = field(metadata=NOT_IDENTITY)

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        self.barrier.wait(timeout=10)
        output.touch()


@dataclass(frozen=True, slots=True)
class Failing(Step):
    kind: ClassVar[str] = "failing"
    error: Exception = field(metadata=NOT_IDENTITY)

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        raise self.error


@dataclass(frozen=True, slots=True)
class Waiting(Step):
    """Ends after something happened."""

    kind: ClassVar[str] = "waiting"
    happened: threading.Event = field(metadata=NOT_IDENTITY)

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        assert self.happened.wait(timeout=10)
        output.touch()


class Site:
    """A cache, what was reported, and whether a step has failed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cache = Cache(root / "cache")
        self.cache.layout.prepare()
        self.events: list[Event] = []
        self.failed = threading.Event()

    def execute(self, plan: Plan, jobs: int = 2) -> Mapping[str, Path]:
        """Run all steps that are not in the cache; returns the outputs of all by step id."""
        steps = [step for step in plan.steps if not self.cache.find(step)]
        with self.cache.rooms() as rooms:
            execute(plan, steps, Execution(self.cache, rooms, self._machine_for, self._report, jobs))
        return {step.id: self.cache.path(step) for step in plan.steps}

    def _machine_for(self, step: PlannedStep, heard: Report) -> Machine:
        scratch = self.root / "scratch" / step.id
        scratch.mkdir(parents=True)
        return PlainMachine(scratch)

    def names(self, kind: type[Event]) -> list[str]:
        return [event.step for event in self.events if isinstance(event, kind)]

    def _report(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepFailed):
            self.failed.set()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_step_reads_what_others_wrote_by_role_and_in_order(site: Site) -> None:
    builder = Builder()
    a, b = builder.add("a", Note("a")), builder.add("b", Note("b"))
    c = builder.add("c", Note("c"), upper=(a,), lower=(b, a))
    outputs = site.execute(builder.plan())
    assert outputs[c].read_text() == "b a a c"


@pytest.mark.parametrize("jobs", [1, 3])
def test_steps_run_after_all_that_they_read(site: Site, jobs: int) -> None:
    builder = Builder()
    last = builder.add("0", Note("0"))
    for number in range(1, 20):
        last = builder.add(str(number), Note(str(number)), after=(last,))
    assert site.execute(builder.plan(), jobs)[last].read_text() == " ".join(map(str, range(20)))
    assert site.names(StepStarted) == site.names(StepFinished) == [str(n) for n in range(20)]


def test_steps_run_side_by_side(site: Site) -> None:
    builder, barrier = Builder(), threading.Barrier(3)
    for name in "abc":
        builder.add(name, Meeting(name, barrier))
    assert len(site.execute(builder.plan(), jobs=3)) == 3


def test_no_more_steps_run_at_once_than_asked_for(site: Site) -> None:
    builder, barrier = Builder(), threading.Barrier(2)
    for name in "abcdef":
        builder.add(name, Meeting(name, barrier))
    running = most = 0
    site.execute(builder.plan(), jobs=2)
    for event in site.events:
        running += isinstance(event, StepStarted) - isinstance(event, StepFinished)
        most = max(most, running)
    assert most == 2


def test_output_is_a_file_or_a_folder_and_its_size_is_told(site: Site) -> None:
    builder = Builder()
    folder = builder.add("folder", Folder())
    builder.add("file", Note("four"))
    outputs = site.execute(builder.plan())
    assert sorted(path.name for path in outputs[folder].iterdir()) == ["file"]
    assert {e.step: e.size for e in site.events if isinstance(e, StepFinished)} == {"folder": 1000, "file": 4}


ERRORS: tuple[tuple[Exception, str, str], ...] = (
    (ImagebuilderError("wrong", hint="do"), "bad: wrong", "do"),
    (CommandError(("false",), 1, "output"), "bad: `false` failed (exit status 1)", ""),
    (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "bad: No such file (/x)", ""),
    (OSError(errno.ENOSPC, FULL, "/x"), f"bad: {FULL} (/x)", "build_root_size"),
    (CommandError(("cp",), 1, f"cp: error writing: {FULL}\n"), "bad: `cp` failed (exit status 1)", "build_root_size"),
)


@pytest.mark.parametrize(("error", "message", "hint"), ERRORS)
def test_failure_names_the_step_and_the_cause(site: Site, error: Exception, message: str, hint: str) -> None:
    builder = Builder()
    builder.add("bad", Failing(error))
    with pytest.raises(StepError) as caught:
        site.execute(builder.plan())
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")
    assert site.names(StepFailed) == ["bad"]


def test_after_a_failure_what_runs_comes_to_its_end_and_nothing_is_started(site: Site) -> None:
    builder = Builder()
    bad = builder.add("bad", Failing(ImagebuilderError("wrong")))
    slow = builder.add("slow", Waiting(site.failed))
    builder.add("after bad", Note("a"), after=(bad,))
    builder.add("after slow", Note("b"), after=(slow,))
    builder.add("independent", Note("c"))
    with pytest.raises(StepError, match="bad: wrong"):
        site.execute(builder.plan(), jobs=2)
    assert site.names(StepStarted) == ["bad", "slow"]
    assert site.names(StepFinished) == ["slow"]


def test_what_is_kept_is_not_done_again_and_its_record_tells_of_it(site: Site) -> None:
    builder = Builder()
    note = builder.add("a note", Note("a"))
    folder = builder.add("a folder", Folder(), after=(note,))
    plan = builder.plan()
    outputs = site.execute(plan)
    again = site.execute(plan)
    assert again == outputs
    assert site.names(StepStarted) == ["a note", "a folder"]
    kept = {step.name: site.cache.find(step) for step in plan.steps}
    for name, size in (("a note", 1), ("a folder", 1000)):
        record = kept[name]
        assert record
        assert (record.name, record.size) == (name, size)
        assert record.step["kind"] == name[2:]
    assert kept["a folder"].inputs == {"after": [note]}  # type: ignore[union-attr]
    assert folder != note


def test_step_that_another_build_has_done_meanwhile_is_not_done_again(site: Site) -> None:
    builder = Builder()
    builder.add("a", Note("a"))
    plan = builder.plan()
    with site.cache.rooms() as rooms:
        execution = Execution(site.cache, rooms, site._machine_for, site._report, 1)
        execute(plan, plan.steps, execution)
        execute(plan, plan.steps, execution)  # its scratch folder may be made only once
    assert site.names(StepFinished) == ["a", "a"]


def test_folder_whose_step_failed_is_not_kept(site: Site) -> None:
    builder = Builder()
    builder.add("bad", Failing(ImagebuilderError("wrong")))
    plan = builder.plan()
    with pytest.raises(StepError):
        site.execute(plan)
    assert site.cache.find(plan.steps[0]) is None
    assert list(site.cache.trees.all()) == []
