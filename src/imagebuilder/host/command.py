"""The only place that starts processes.

Every program runs with a clean environment, closed standard input and the C
locale, so that a build does not depend on who started it.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from imagebuilder.errors import CommandError, MissingToolError
from imagebuilder.host import clock

_TAIL_LINES = 200
_PATIENCE = 1.0
"""Seconds without output after which we look whether the program is still there."""
CLEAN_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "DEBIAN_FRONTEND": "noninteractive",
    "DEBCONF_NONINTERACTIVE_SEEN": "true",
}

AS_ROOT = ("unshare", "--map-root-user", "--map-auto")
"""In front of a command: it runs as root of a user namespace with the caller's subordinate ids (subuid(5))."""

LineSink = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run.

    `env` is added to `CLEAN_ENVIRONMENT`; `root` is the directory to chroot
    into first; `accept` lists the exit statuses that are not an error; after `timeout`
    seconds it is killed, which counts as a failure.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stdin: bytes | None = None
    root: Path | None = None
    accept: frozenset[int] = frozenset({0})
    timeout: float | None = None

    @property
    def full_argv(self) -> tuple[str, ...]:
        """The argument vector with the chroot in front."""
        return ("chroot", str(self.root), *self.argv) if self.root else self.argv


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended: exit status, the whole standard output, the last lines of both streams."""

    status: int
    stdout: str
    tail: str


def run(command: Command, on_line: LineSink | None = None) -> Completed:
    """Run to the end; each line of both streams goes to `on_line` as it comes.

    Raises `CommandError` for a status outside `command.accept`, `MissingToolError`
    when the program does not exist.
    """
    with _input(command.stdin) as stdin, spawn(command, stdin=stdin) as process:
        try:
            stdout, tail = _drain(process, on_line, command.timeout)
            status = process.wait()
        except BaseException:
            process.kill()
            raise
    if status not in command.accept:
        raise CommandError(command.full_argv, status, tail)
    return Completed(status, stdout, tail)


def spawn(
    command: Command,
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a program and hand back its process; the caller ends it."""
    argv = command.full_argv
    environment = {**CLEAN_ENVIRONMENT, **command.env}
    try:
        return subprocess.Popen(
            argv, stdin=stdin, stdout=stdout, stderr=stderr, env=environment, cwd=command.cwd, close_fds=True
        )
    except FileNotFoundError as error:
        raise MissingToolError(
            f"`{argv[0]}` is not installed on this machine",
            hint="`imagebuilder doctor` says which Debian package brings it",
        ) from error


def attach(command: Command) -> int:
    """Run a program on our own terminal to its end; returns its exit status, 128 and more for a signal."""
    with spawn(command, stdin=0, stdout=1, stderr=2) as process:
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def feed(command: Command, output: Path | None = None) -> Iterator[IO[bytes]]:
    """Start a program and give its standard input; at the end of the block it must have ended well.

    What it writes goes to the file `output`. Raises CommandError and MissingToolError as `run` does.
    """
    with tempfile.TemporaryFile() as said, output.open("wb") if output else nullcontext(said) as target:
        process = spawn(command, stdin=subprocess.PIPE, stdout=target, stderr=said)
        assert process.stdin
        try:
            with suppress(BrokenPipeError), process.stdin as stdin:  # then its status says more
                yield stdin
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
        _refuse_failure(command, status, said)


@contextmanager
def output_of(command: Command) -> Iterator[IO[bytes]]:
    """Start a program and give its standard output, to be read to the end; raises what `run` does."""
    with tempfile.TemporaryFile() as said:
        process = spawn(command, stderr=said)
        assert process.stdout
        try:
            with process.stdout as stdout:
                yield stdout
        except BaseException:
            process.kill()
            raise
        finally:
            status = process.wait()
        _refuse_failure(command, status, said)


def _refuse_failure(command: Command, status: int, said: IO[bytes]) -> None:
    if status not in command.accept:
        said.seek(0)
        raise CommandError(command.full_argv, status, said.read().decode(errors="replace"))


def replace(argv: tuple[str, ...], env: Mapping[str, str] | None = None) -> None:
    """Become another program, with this process's own environment plus `env`."""
    os.execvpe(argv[0], list(argv), {**os.environ, **(env or {})})


@contextmanager
def _input(data: bytes | None) -> Iterator[int | IO[bytes]]:
    """Standard input as a file in memory: unlike a pipe it needs nobody to feed it while the output is read."""
    if data is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("stdin"), "w+b") as file:
        file.write(data)
        file.seek(0)
        yield file


def _drain(process: subprocess.Popen[bytes], on_line: LineSink | None, timeout: float | None) -> tuple[str, str]:
    """Read both streams to their end; returns (standard output, tail of both).

    What a program left running in the background may hold them open for ever: its own end is the end, too.
    """
    deadline = clock.monotonic() + timeout if timeout else None
    stdout: list[str] = []
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                selector.register(stream, selectors.EVENT_READ, bytearray())
        while selector.get_map():
            if deadline and clock.monotonic() > deadline:
                process.kill()
                tail.append(f"killed after {timeout:g} s\n")
                break
            ready = selector.select(timeout=_PATIENCE)
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                for text in _lines(key, selector):
                    if key.fileobj is process.stdout:
                        stdout.append(text)
                    tail.append(text)
                    if on_line:
                        on_line(text.rstrip("\r\n"))
    return "".join(stdout), "".join(tail)


def _lines(key: selectors.SelectorKey, selector: selectors.BaseSelector) -> list[str]:
    """The whole lines that one ready stream has now; at its end also a last one without a newline."""
    stream: Any = key.fileobj
    buffer: bytearray = key.data
    chunk = os.read(stream.fileno(), 1 << 16)
    buffer += chunk
    if not chunk:
        selector.unregister(stream)
        stream.close()
        return [buffer.decode(errors="replace")] if buffer else []
    whole, newline, rest = buffer.rpartition(b"\n")
    buffer[:] = rest
    return (whole + newline).decode(errors="replace").splitlines(keepends=True) if newline else []
