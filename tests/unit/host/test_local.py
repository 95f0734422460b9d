"""What a running step has of the machine."""

from __future__ import annotations

import threading
from pathlib import Path

from imagebuilder.events import Event, Note, OutputLine, PartFinished, Progress
from imagebuilder.host.command import Command
from imagebuilder.host.local import AptFiles, LocalMachine


def _machine(folder: Path, events: list[Event]) -> LocalMachine:
    apt = AptFiles(folder / "lists", folder / "archives", {})
    return LocalMachine("x: step", folder / "scratch", apt, {"SOURCE_DATE_EPOCH": "5", "A": "build"}, events.append)


def test_what_is_said_belongs_to_the_step(tmp_path: Path) -> None:
    events: list[Event] = []
    machine = _machine(tmp_path, events)
    machine.progress("going on")
    machine.note("careful")
    machine.run(Command(("echo", "line")))
    assert events == [Progress("x: step", "going on"), Note("x: step", "careful"), OutputLine("x: step", "line")]


def test_part_of_the_step_is_told_when_it_has_ended(tmp_path: Path) -> None:
    events: list[Event] = []
    machine = _machine(tmp_path, events)
    with machine.timed("files"):
        machine.took("a file", 0.25)
    task, part = events
    assert task == PartFinished("x: step", "a file", 0.25)
    assert isinstance(part, PartFinished)
    assert (part.part, 0 <= part.seconds < 1) == ("files", True)


def test_caller_hears_the_lines_too(tmp_path: Path) -> None:
    events: list[Event] = []
    lines: list[str] = []
    _machine(tmp_path, events).run(Command(("echo", "line")), lines.append)
    assert lines == ["line"]
    assert events == [OutputLine("x: step", "line")]


def test_programs_see_the_builds_environment_and_their_own_above_it(tmp_path: Path) -> None:
    done = _machine(tmp_path, []).run(Command(("env",), env={"A": "command"}, cwd=tmp_path, accept=frozenset({0, 9})))
    assert {"SOURCE_DATE_EPOCH=5", "A=command"} <= set(done.stdout.splitlines())


def test_each_scratch_folder_is_new_and_empty_whoever_asks(tmp_path: Path) -> None:
    machine = _machine(tmp_path, [])
    folders: list[Path] = []

    def ask() -> None:
        folders.extend(machine.scratch() for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 200
    assert all(folder.is_dir() and not list(folder.iterdir()) for folder in folders)


def test_archive_is_where_packages_were_put(tmp_path: Path) -> None:
    assert _machine(tmp_path, []).archive("a_1_all.deb") == tmp_path / "archives/a_1_all.deb"
