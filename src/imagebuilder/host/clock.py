"""The only clock: durations for progress, and the time of a signature; nothing that ends in an artifact."""

from __future__ import annotations

import time

TICK = 0.01
"""The longest time in seconds, on any usual kernel, for which its own clock stands still."""


def monotonic() -> float:
    """Seconds from an arbitrary start; only differences mean something."""
    return time.monotonic()


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def now_ns() -> int:
    """Nanoseconds since 1970, as the kernel notes the changes of files, which it may do up to `TICK` too early."""
    return time.time_ns()


def sleep(seconds: float) -> None:
    """Do nothing for `seconds`."""
    time.sleep(seconds)
