"""The only clock: durations for progress, never for anything that ends in an artifact."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds from an arbitrary start; only differences mean something."""
    return time.monotonic()


def sleep(seconds: float) -> None:
    """Do nothing for `seconds`."""
    time.sleep(seconds)
