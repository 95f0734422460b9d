"""What a build step may ask of the machine; `host/local.py` is the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol

from imagebuilder.host.command import Command, Completed, LineSink


class Chroot(Protocol):
    """A root filesystem that programs can run in, with /proc, /sys, /dev, /run and apt's caches in place.

    `/run` is a tmpfs: what a step puts below it never lands in the image.
    """

    @property
    def path(self) -> Path:
        """The root as the host sees it."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What every program in the chroot has in its environment (APT_CONFIG and the like)."""

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> Completed:
        """Run a program in the chroot, its lines reported as output of the step. Raises CommandError."""

    def bind(self, source: Path, target: str, *, read_only: bool = True) -> None:
        """Show the host's `source` as `target` (below /run) until the chroot is closed."""


class Machine(Protocol):
    """The machine as one running step sees it. All mounts live in the build's private namespace."""

    def run(self, command: Command, on_line: LineSink | None = None) -> Completed:
        """Run a host program; its lines are reported as output of the step. Raises CommandError."""

    def feed(self, command: Command, output: Path | None = None) -> AbstractContextManager[IO[bytes]]:
        """Start a host program and give its standard input; what it writes goes to the file `output`.

        At the end of the block it must have ended well: raises CommandError.
        """

    def progress(self, message: str, size: int = 0) -> None:
        """Say what the step does now, and with how many bytes if that is known."""

    def timed(self, part: str) -> AbstractContextManager[None]:
        """Tell of the block, when it has ended, as a part of the step."""

    def began(self, part: str) -> None:
        """Remember that from now on files change because of this part of the step."""

    def beginnings(self) -> Sequence[tuple[str, int]]:
        """Each part that `began`, and when, in nanoseconds since 1970."""

    def took(self, part: str, seconds: float) -> None:
        """Tell of a part of the step that ended just now, after `seconds`."""

    def note(self, message: str) -> None:
        """Tell the user something that stops nothing."""

    def scratch(self) -> Path:
        """A new empty folder in the build's workspace; it goes away with the build."""

    def archive(self, file_name: str) -> Path:
        """A package file that was downloaded and checked before the build began (`Deb.file_name`)."""

    def overlay(self, lower: Sequence[Path], upper: Path | None = None) -> AbstractContextManager[Path]:
        """Mount an overlay and yield its merged view.

        `lower` is listed from the bottom to the top; without `upper` the view is read-only.
        """

    def apt_cache(self) -> AbstractContextManager[Path]:
        """A folder with apt's `lists` and `archives` (to be shown to a root that apt works on) and its `apt.conf`.

        What is downloaded into it is kept for later builds; all other changes are not.
        """

    def chroot(self, root: Path) -> AbstractContextManager[Chroot]:
        """Make `root` ready to run programs in."""
