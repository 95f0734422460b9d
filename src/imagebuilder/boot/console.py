"""What comes out of a node's serial port, line by line, and the lines among them that mean something.

Our initrd's lines are `nb: phase=NAME ms=UPTIME detail=TEXT` and
`nb: error=CODE ms=UPTIME detail=SENTENCE`, in the kernel log.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

_TAIL = 30
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>c78])|[\x00-\x08\x0b-\x1f\x7f]")
_FIRMWARE = re.compile(r"SeaBIOS \(version [^)]*\)|UEFI Interactive Shell|BdsDxe: \w+|iPXE \d[^ ]*")
_KERNEL = re.compile(r"Linux version (\S+)")
_NODE = re.compile(r"\bnb: (phase|error)=(\S+) ms=(\d+) detail=(.*)")
_PANIC = re.compile(r"Kernel panic - not syncing: (.*)")


@dataclass(frozen=True, slots=True)
class Said:
    """The node reached phase `name`."""

    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The node says that it cannot go on: an error code of the initrd, or `panic`."""

    code: str
    detail: str


class Console:
    """Turns pieces of serial output into events; remembers the last lines."""

    def __init__(self) -> None:
        self._rest = ""
        self._tail: deque[str] = deque(maxlen=_TAIL)

    def feed(self, piece: bytes) -> list[Said | Failed]:
        """What the lines say that `piece` completes."""
        *lines, self._rest = (self._rest + piece.decode("latin-1")).split("\n")
        return [event for line in lines if (event := self._line(_clean(line)))]

    @property
    def tail(self) -> str:
        """The last lines that were not empty, and the beginning of the next one."""
        return "\n".join([*self._tail, *filter(None, [_clean(self._rest)])])

    def _line(self, line: str) -> Said | Failed | None:
        if line:
            self._tail.append(line)
        return event_of(line)


def event_of(line: str) -> Said | Failed | None:
    """What one clean line of the console says, if anything."""
    if match := _NODE.search(line):
        kind, name, _, detail = match.groups()
        if kind == "error":
            return Failed(name, detail)
        # The initrd's first line tells that the kernel is through: for us the kernel began before.
        return Said("init" if name == "kernel" else name, detail)
    if match := _PANIC.search(line):
        return Failed("panic", match[1])
    if match := _KERNEL.search(line):
        return Said("kernel", match[1])
    if match := _FIRMWARE.search(line):
        return Said("firmware", match[0])
    return None


def _clean(line: str) -> str:
    """A line without colours, cursor movements and carriage returns."""
    text = line.encode("latin-1").decode("utf-8", "replace")
    return _ESCAPES.sub("", text).rstrip()
