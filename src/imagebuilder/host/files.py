"""Files that other processes may see at the same time: locks, and publishing whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from imagebuilder.errors import CommandError, ImagebuilderError
from imagebuilder.host import clock
from imagebuilder.host.command import Command, run

_SUFFIX = ".new"
_FICLONE = 0x40049409  # linux/fs.h
_FRESH_SECONDS = 3600


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a lock on `path` (made if missing); the kernel drops it when the process dies.

    Raises BlockingIOError when it cannot be had at once and `wait` is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # NFS wants a shared lock on what can be read and another one on what can be written; who may
    # only read can hold a shared one.
    lock = os.open(path, (os.O_RDONLY if shared else os.O_RDWR) | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(lock)


@contextmanager
def locked_at_once(path: Path, busy: ImagebuilderError) -> Iterator[None]:
    """Hold a lock on `path`, or raise `busy` when others do."""
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(path, wait=False))
        except BlockingIOError:
            raise busy from None
        yield


@contextmanager
def workroom(parent: Path) -> Iterator[Path]:
    """A new folder in `parent` for this process alone, gone after the block.

    A process that is killed leaves its room behind, as one does in whose room
    something is still mounted; the next to come removes it: the lock that was
    held tells that nobody lives there.
    """
    with locked(parent / "lock"):
        for room in filter(Path.is_dir, list(parent.iterdir())):
            if _is_abandoned(room):
                _remove_room(room)
        room = Path(tempfile.mkdtemp(dir=parent))
        room.chmod(0o755)
        lock = os.open(room / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield room
    finally:
        # NFS keeps an open file, and with it its folder: the lock goes first.
        os.close(lock)
        _remove_room(room)


def _is_abandoned(room: Path) -> bool:
    """Whether nobody lives in a room; nobody moves into one that is there already."""
    try:
        with locked(room / "lock", wait=False):
            return True
    except (BlockingIOError, FileNotFoundError):  # who lives there may be just about to leave, and to remove it
        return False


def _remove_room(room: Path) -> None:
    with suppress(CommandError):
        remove_tree(room)


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
        _publish(reader, target, 0o644)


def publish_text(text: str, target: Path) -> None:
    """Write `text` to `target` the same way."""
    publish_bytes(text.encode(), target)


def publish_bytes(data: bytes, target: Path, *, mode: int = 0o644) -> None:
    """Write `data` to `target` the same way."""
    _publish(io.BytesIO(data), target, mode)


def publish_new(text: str, target: Path, *, mode: int = 0o644) -> None:
    """Write `text` to `target` the same way, unless the file is there already.

    Who asks beforehand may be wrong: over NFS, another machine's new file is not seen at once.
    """
    waiting = _write_beside(io.BytesIO(text.encode()), target, mode)
    try:
        os.link(waiting, target)
    except FileExistsError:
        pass
    finally:
        os.unlink(waiting)
    _sync_folder(target.parent)


def settle(source: Path, target: Path) -> None:
    """Move a finished file to `target` on the same file system, on disk before it can be seen there."""
    with source.open("rb") as file:
        os.fsync(file.fileno())
    os.rename(source, target)
    _sync_folder(target.parent)


def link(source: Path, target: Path) -> None:
    """Have the content of `source` at `target` too, at once and without taking room where the file system can.

    A copy that shares its blocks, else a hard link, else, on another file system, a true copy.
    """
    waiting = target.with_name(f".{target.name}{_SUFFIX}")
    waiting.unlink(missing_ok=True)
    with source.open("rb") as reader, waiting.open("xb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            os.rename(waiting, target)
            return
        except OSError:
            waiting.unlink()
    try:
        os.link(source, waiting)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        publish(source, target)
    else:
        os.rename(waiting, target)


def _publish(reader: IO[bytes], target: Path, mode: int) -> None:
    """The copy has a name of its own until it is whole and on disk; then a rename replaces `target`."""
    waiting = _write_beside(reader, target, mode)
    try:
        os.rename(waiting, target)
    except BaseException:
        os.unlink(waiting)
        raise
    _sync_folder(target.parent)


def _write_beside(reader: IO[bytes], target: Path, mode: int) -> str:
    """A copy in the folder of `target`, whole and on disk; returns its name.

    A file without a name (O_TMPFILE) would leave less behind when we are killed, but NFS and FUSE have none.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, waiting = tempfile.mkstemp(_SUFFIX, f".{target.name}.", target.parent)
    try:
        with os.fdopen(handle, "wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
            writer.flush()
            os.fchmod(writer.fileno(), mode)
            os.fsync(writer.fileno())
    except BaseException:
        os.unlink(waiting)
        raise
    return waiting


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def unfinished(folder: Path) -> list[Path]:
    """What publishing leaves in `folder` when it is killed before its rename, and what others publish there now."""
    return list(folder.glob(f".*{_SUFFIX}"))


def sweep(folder: Path) -> None:
    """Remove what is unfinished in `folder`, where nobody else publishes meanwhile."""
    for path in unfinished(folder):
        path.unlink(missing_ok=True)


def copy_if_missing(source: Path, target: Path) -> None:
    """`publish`, unless the file is there already."""
    if not target.exists():
        publish(source, target)


def remove_tree(path: Path) -> None:
    """Remove a folder and all that is in it, but never what is mounted there; a missing one is fine."""
    run(Command(("rm", "-rf", "--one-file-system", "--", str(path))))


def free_bytes(folder: Path) -> int:
    """The bytes that may still be written to the file system of `folder`."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def size_of(path: Path) -> int:
    """The bytes of a file, or of all regular files below a folder (a hard-linked one once) that stay while we count."""
    if not path.is_dir():
        return path.stat().st_size
    seen: dict[tuple[int, int], int] = {}
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                status = os.lstat(os.path.join(folder, name))
                if stat.S_ISREG(status.st_mode):
                    seen[status.st_dev, status.st_ino] = status.st_size
    return sum(seen.values())
