"""Files that other processes may see at the same time: locks, and publishing whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if missing); the kernel drops it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def publish(source: Path, target: Path) -> None:
    """Copy `source` to `target` so that nobody ever sees half of it, even after a kill or a power cut.

    The copy has no name until it is whole and on disk (O_TMPFILE), then
    replaces `target` by a rename.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    waiting = f".{target.name}.new"
    try:
        with source.open("rb") as reader, open(_nameless(target.parent), "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fchmod(writer.fileno(), 0o644)
            os.fsync(writer.fileno())
            target.with_name(waiting).unlink(missing_ok=True)
            # src_dir_fd makes Python call linkat with AT_SYMLINK_FOLLOW, which /proc/self/fd needs.
            os.link(f"/proc/self/fd/{writer.fileno()}", waiting, src_dir_fd=folder, dst_dir_fd=folder)
        os.rename(waiting, target.name, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)
    finally:
        os.close(folder)


def copy_if_missing(source: Path, target: Path) -> None:
    """`publish`, unless the file is there already."""
    if not target.exists():
        publish(source, target)


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it; a missing one is fine."""
    shutil.rmtree(path, ignore_errors=True)


def _nameless(folder: Path) -> int:
    return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o644)
