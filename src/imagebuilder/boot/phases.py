"""The way of a node: its phases in order, and how long it may take from one to the next.

Firmware, kernel and initrd say theirs on the console; what the booted system
does is seen at the server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhaseReached:
    """The node did something for the first time, `seconds` after it was switched on.

    `name` is `firmware`, `kernel`, `init` and then what the initrd says (`modules`, `network`, `manifest`,
    `memory`, `fetch`, `digest`, `mount`, `switch`), then `agent`, `task`, `result`.
    """

    name: str
    seconds: float
    detail: str = ""


START = "start"
BEFORE_INIT = frozenset({START, "firmware", "kernel"})
"""Here the node is in the hands of QEMU and the kernel: a hang is not the image's fault."""

_PATIENCE: Mapping[str, float] = {
    START: 60,
    "firmware": 120,  # UEFI over TFTP, emulated
    "kernel": 60,
    "modules": 180,  # link, spanning tree, DHCP
    "fetch": 120,
    "switch": 180,  # systemd to the agent
    "agent": 60,
}
_OTHERWISE = 90.0


def patience(reached: str, *, for_task: float) -> float:
    """Seconds that may pass in phase `reached` until the next one; a task has time of its own."""
    return for_task if reached == "task" else _PATIENCE.get(reached, _OTHERWISE)
