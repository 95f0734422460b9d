"""The only clock: durations for progress, and the time of a signature; nothing that ends in an artifact."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds from an arbitrary start; only differences mean something."""
    return time.monotonic()


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def sleep(seconds: float) -> None:
    """Do nothing for `seconds`."""
    time.sleep(seconds)
