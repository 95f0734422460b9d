"""The real machine, as one running step sees it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from imagebuilder.events import Note, OutputLine, PartFinished, Progress, Report
from imagebuilder.host import chroot, clock, mounts
from imagebuilder.host.command import Command, Completed, LineSink, feed, run
from imagebuilder.host.files import copy_if_missing, locked, remove_tree
from imagebuilder.host.machine import Chroot


@dataclass(frozen=True, slots=True)
class AptFiles:
    """What roots get of apt: the folders to show, and the small files beside them by name."""

    lists: Path
    archives: Path
    files: Mapping[str, bytes]


class LocalMachine:
    """The real `Machine`. `workspace` lies on the build's tmpfs; `step` names whose output is reported."""

    def __init__(
        self, step: str, workspace: Path, apt: AptFiles, environment: Mapping[str, str], report: Report
    ) -> None:
        self._step = step
        self._workspace = workspace
        self._apt = apt
        self._environment = environment
        self._report = report
        self._numbers = itertools.count()
        self._beginnings: list[tuple[str, int]] = []

    def run(self, command: Command, on_line: LineSink | None = None) -> Completed:
        def each(text: str) -> None:
            self._line(text)
            if on_line:
                on_line(text)

        return run(replace(command, env={**self._environment, **command.env}), each)

    def feed(self, command: Command, output: Path | None = None) -> AbstractContextManager[IO[bytes]]:
        return feed(replace(command, env={**self._environment, **command.env}), output)

    def progress(self, message: str, size: int = 0) -> None:
        self._report(Progress(self._step, message, size))

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        began = clock.monotonic()
        yield
        self.took(part, clock.monotonic() - began)

    def began(self, part: str) -> None:
        self._beginnings.append((part, clock.now_ns()))
        clock.sleep(clock.TICK)

    def beginnings(self) -> Sequence[tuple[str, int]]:
        return tuple(self._beginnings)

    def took(self, part: str, seconds: float) -> None:
        self._report(PartFinished(self._step, part, seconds))

    def note(self, message: str) -> None:
        self._report(Note(self._step, message))

    def scratch(self) -> Path:
        folder = self._workspace / str(next(self._numbers))
        folder.mkdir(parents=True)
        return folder

    def archive(self, file_name: str) -> Path:
        return self._apt.archives / file_name

    @contextmanager
    def overlay(self, lower: Sequence[Path], upper: Path | None = None) -> Iterator[Path]:
        place = self.scratch()
        # The workdir must lie on upper's file system: beside it, never in it.
        work = upper.with_name(f"{upper.name}.work") if upper else place / "work"
        with mounts.overlay(lower, upper, work, place / "merged") as merged:
            yield merged
        if upper:
            remove_tree(work)

    @contextmanager
    def apt_cache(self) -> Iterator[Path]:
        """A folder with apt's `lists`, `archives` and small files that may be written to.

        Packages that something downloads into it are kept for later builds; all other changes are not.
        """
        place = self.scratch()
        upper = place / "upper"
        shown = place / "apt"
        shown.mkdir()
        for name, content in self._apt.files.items():
            (shown / name).write_bytes(content)
        for name in ("lists", "archives"):
            (upper / name).mkdir(parents=True)
            (shown / name).mkdir()
        with (
            mounts.overlay([self._apt.lists], upper / "lists", place / "work-lists", shown / "lists"),
            mounts.overlay([self._apt.archives], upper / "archives", place / "work-archives", shown / "archives"),
        ):
            yield shown
        with locked(self._apt.archives / "imagebuilder.lock"):
            for deb in (upper / "archives").glob("*.deb"):
                copy_if_missing(deb, self._apt.archives / deb.name)

    @contextmanager
    def chroot(self, root: Path) -> Iterator[Chroot]:
        environment = {**self._environment, "APT_CONFIG": f"{chroot.INSIDE}/apt/apt.conf"}
        with self.apt_cache() as apt, chroot.opened(root, on_line=self._line, environment=environment) as opened:
            opened.bind(apt, f"{chroot.INSIDE}/apt", read_only=False)
            yield opened

    def _line(self, text: str) -> None:
        self._report(OutputLine(self._step, text))
