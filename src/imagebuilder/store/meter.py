"""How far a transfer is, said once a second."""

from __future__ import annotations

from imagebuilder.console import size_text
from imagebuilder.events import Progress, Report
from imagebuilder.host import clock

_SECONDS = 1.0


class Meter:
    """Reports the bytes of a transfer of `size` bytes as progress of `step`."""

    def __init__(self, step: str, size: int, report: Report) -> None:
        self._step = step
        self.size = size
        self._report = report
        self._shown = clock.monotonic()

    def show(self, done: int) -> None:
        """So many bytes are there."""
        if clock.monotonic() - self._shown >= _SECONDS:
            self._shown = clock.monotonic()
            self._report(Progress(self._step, f"{size_text(done)} of {size_text(self.size)}"))
