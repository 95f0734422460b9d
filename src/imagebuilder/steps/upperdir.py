"""Upperdirs: folders that are filled through an overlay mount, by programs that then never wait for a disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebuilder.host.machine import Machine

# Linux Documentation/filesystems/overlayfs.rst. `opaque` is the layer's own, where something lies below.
_MARKS = frozenset(f"{kind}.overlay.{name}" for kind in ("trusted", "user") for name in ("impure", "origin", "uuid"))
_OPAQUE = frozenset({"trusted.overlay.opaque", "user.overlay.opaque"})


@contextmanager
def bottom_layer(machine: Machine, output: Path) -> Iterator[Path]:
    """The folder `output` in a form that can be filled; afterwards it is one that nothing lies below."""
    with machine.overlay((machine.scratch(),), output) as merged:
        yield merged
    for folder, _, _ in os.walk(output):  # only what was copied up from below has marks on files
        _forget(folder, _MARKS | _OPAQUE)


def forget_mount(upper: Path) -> None:
    """Take off what the kernel wrote for this very mount: file handles and numbers that are other ones next time."""
    for folder, folders, files in os.walk(upper):
        for path in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):
            _forget(path, _MARKS)


def _forget(path: str, marks: frozenset[str]) -> None:
    for name in marks & set(os.listxattr(path, follow_symlinks=False)):
        os.removexattr(path, name, follow_symlinks=False)
