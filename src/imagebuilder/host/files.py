"""Files that other processes may see at the same time: locks, and publishing whole or not at all."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from imagebuilder.host import clock
from imagebuilder.host.command import Command, run

_WAITING = ".{}.new"
_FRESH_SECONDS = 3600


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made if missing); the kernel drops it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def kept_fresh(path: Path, refresh: Callable[[], None]) -> Iterator[None]:
    """Have something refreshed, and then left as it is for the time of the block; `path` is its lock.

    Who comes while others use the thing uses it too, as it is, unless it is
    older than an hour: then the next waits until it can be refreshed.
    """
    with path.open("a+") as file:
        alone = _try_lock(file)
        if not alone:
            fcntl.flock(file, fcntl.LOCK_SH)  # waits for one who is at it
        if alone or not _is_fresh(file):
            fcntl.flock(file, fcntl.LOCK_EX)
            if alone or not _is_fresh(file):
                file.truncate(0)
                refresh()
                file.write(f"{clock.monotonic()}")
                file.flush()
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_fresh(file: IO[str]) -> bool:
    file.seek(0)
    stamp = file.read()
    return stamp != "" and 0 <= clock.monotonic() - float(stamp) < _FRESH_SECONDS


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
    waiting = _WAITING.format(target.name)
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


def sweep(folder: Path) -> None:
    """Remove what `publish` leaves in `folder` when it is killed just before its rename.

    Nobody else may publish there meanwhile.
    """
    for path in folder.glob(_WAITING.format("*")):
        path.unlink(missing_ok=True)


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
