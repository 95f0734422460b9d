"""Virtual nodes for the boot tests: what to boot, what to ask the booted system, and who listens to it."""

from __future__ import annotations

import os
import pty
import re
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from builds import PROGRAM
from imagebuilder.boot.session import Machine, Outcome

INSPECT = (Path(__file__).parent / "boot/inspect.sh").read_text()
EMULATED = Machine(accelerator="tcg")
BOOT_SECONDS = 300


def facts(task: Mapping[str, Any]) -> dict[str, str]:
    """What `inspect.sh` found, by name."""
    assert task["error"] is None, task
    lines = str(task["stdout"]).splitlines()
    return {name: value.strip() for name, _, value in (line.partition("=") for line in lines)}


def names(outcome: Outcome) -> list[str]:
    """The phases of a boot, each once, in order."""
    return list(dict.fromkeys(phase.name for phase in outcome.phases))


def boot_verb(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`imagebuilder boot ARGUMENTS` as a user runs it."""
    argv = [PROGRAM, "boot", "--accel", "tcg", *arguments]
    return subprocess.run(
        argv, capture_output=True, text=True, timeout=BOOT_SECONDS, check=False, stdin=subprocess.DEVNULL
    )


class SyslogServer:
    """Hears datagrams on a port of loopback."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while datagram := self._socket.recv(65536):
            self._lines.append(datagram.decode(errors="replace"))

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", ("127.0.0.1", self.port))
        self._socket.close()

    def said(self, pattern: str) -> list[str]:
        """The lines that match."""
        return [line for line in self._lines if re.search(pattern, line)]


class Terminal:
    """A program that believes to be on a terminal, typed to and read as a person would."""

    def __init__(self, argv: Sequence[object]) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            list(map(str, argv)), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.shown = b""

    def until(self, pattern: bytes, timeout: float = BOOT_SECONDS) -> bytes:
        """Read until something new matches; returns what was shown since the last time."""
        end, seen = time.monotonic() + timeout, b""
        while not re.search(pattern, seen):
            assert time.monotonic() < end, self.shown.decode(errors="replace")[-3000:]
            piece = os.read(self._master, 4096)
            seen += piece
            self.shown += piece
        return seen

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait(self, timeout: float = 30) -> int:
        """The exit status; the program must end by itself."""
        return self._process.wait(timeout)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)
