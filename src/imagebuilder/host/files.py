"""Files that other processes may see at the same time: locks, and publishing whole or not at all."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from imagebuilder.host.command import Command, run


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if missing); the kernel drops it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def publish(source: Path, target: Path) -> None:
    """Copy `source` to `target` so that nobody ever sees half of it, even after a kill or a power cut."""
    with source.open("rb") as reader:
        _publish(reader, target)


def publish_text(text: str, target: Path) -> None:
    """Write `text` to `target` the same way."""
    _publish(io.BytesIO(text.encode()), target)


def _publish(reader: IO[bytes], target: Path) -> None:
    """The copy has no name until it is whole and on disk (O_TMPFILE); then a rename replaces `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    waiting = f".{target.name}.new"
    try:
        with os.fdopen(os.open(target.parent, os.O_TMPFILE | os.O_RDWR, 0o644), "wb") as writer:
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
    """Remove a folder and all that is in it, but never what is mounted there; a missing one is fine."""
    run(Command(("rm", "-rf", "--one-file-system", "--", str(path))))


def size_of(path: Path) -> int:
    """The bytes of a file, or of all regular files below a folder (a hard-linked one once)."""
    if not path.is_dir():
        return path.stat().st_size
    seen: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            if stat.S_ISREG(status.st_mode):
                seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())
