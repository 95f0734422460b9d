"""Upperdirs: folders that are filled through an overlay mount, by programs that then never wait for a disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebuilder.host.machine import Machine
from imagebuilder.steps.layer import forget_marks


@contextmanager
def bottom_layer(machine: Machine, output: Path) -> Iterator[Path]:
    """The folder `output` in a form that can be filled; afterwards it is one that nothing lies below."""
    with machine.overlay((machine.scratch(),), output) as merged:
        yield merged
    forget_marks(output)
