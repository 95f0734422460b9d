"""A machine for tests of single steps: programs really run, mounts do not, what is said is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from imagebuilder.host.command import Command, Completed, LineSink, feed, run


class PlainRoot:
    """A folder as `Chroot`: commands and binds are kept, not done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment: Mapping[str, str] = {}
        self.commands: list[tuple[str, ...]] = []
        self.binds: list[tuple[Path, str]] = []

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> Completed:
        self.commands.append(tuple(argv))
        return Completed(0, "", "")

    def bind(self, source: Path, target: str, *, read_only: bool = True) -> None:
        self.binds.append((source, target))


class PlainMachine:
    """A `Machine` with its scratch folders in `folder`; an overlay is shown only where it is one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.said: list[str] = []
        self.parts: list[str] = []
        self.notes: list[str] = []
        self.begun: list[tuple[str, int]] = []

    def run(self, command: Command, on_line: LineSink | None = None) -> Completed:
        return run(command, on_line)

    def feed(self, command: Command, output: Path | None = None) -> AbstractContextManager[IO[bytes]]:
        return feed(command, output)

    def progress(self, message: str, size: int = 0) -> None:
        self.said.append(message)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        yield
        self.took(part, 0)

    def began(self, part: str) -> None:
        self.begun.append((part, time.time_ns()))
        time.sleep(0.01)

    def beginnings(self) -> Sequence[tuple[str, int]]:
        return self.begun

    def took(self, part: str, seconds: float) -> None:
        self.parts.append(part)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def scratch(self) -> Path:
        folder = self._folder / f"scratch-{len(list(self._folder.iterdir()))}"
        folder.mkdir()
        return folder

    def archive(self, file_name: str) -> Path:
        return self._folder / "archives" / file_name

    @contextmanager
    def overlay(self, lower: Sequence[Path], upper: Path | None = None) -> Iterator[Path]:
        (only,) = lower
        assert upper is None
        yield only

    def apt_cache(self) -> AbstractContextManager[Path]:
        raise NotImplementedError

    @contextmanager
    def chroot(self, root: Path) -> Iterator[PlainRoot]:
        yield PlainRoot(root)
