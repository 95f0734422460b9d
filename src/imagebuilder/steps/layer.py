"""A layer as a list of entries: what an upperdir says, read into values, so that every format can say the same.

The kernel marks things in an upperdir that mean something on its own mount
only. They are read, never copied:

- a whiteout (a character device 0:0) that hides nothing of what is below is dropped: alone in a
  folder that the layers below lack, the kernel would list it;
- an opaque folder becomes whiteouts of what is below it, as an archive has no place for the mark, and
  the kernel does not look through whiteouts in a folder that has it;
- a socket is a daemon's leftover: nobody listens on it;
- redirects and metacopies are refused: builds mount without them (host/mounts.py).

Source: Linux Documentation/filesystems/overlayfs.rst.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member, Source

# `user.` where the overlay was mounted in a user namespace.
_MARKS = ("trusted.overlay.", "user.overlay.")
_REFERENCES = ("redirect", "metacopy")
_KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFIFO: "pipe",
}


@dataclass(frozen=True, slots=True)
class Entry(Source):
    """One name of a layer: a cpio member, its content, and its extended attributes (ACLs among them) by name.

    Entries with equal `member.inode` and `member.links` > 1 are one file; the
    last of them by name has the content, all have the attributes.
    """

    xattrs: tuple[tuple[str, bytes], ...] = ()

    @property
    def name(self) -> bytes:
        """Relative, in bytes; the root is `.`."""
        return self.member.name

    @property
    def path(self) -> str:
        """As a path in the image, for people."""
        return "/" if self.name == b"." else f"/{os.fsdecode(self.name)}"

    @property
    def kind(self) -> str:
        """`folder`, `file`, `symlink`, `device`, `pipe` or `whiteout`."""
        return "whiteout" if is_whiteout(self.member) else _KINDS[stat.S_IFMT(self.member.mode)]


def whiteout(name: bytes) -> Entry:
    """The entry that hides `name` of the layers below."""
    return Entry(Member(name, stat.S_IFCHR))


def is_whiteout(member: Member) -> bool:
    """Whether it hides its name in the layers below."""
    return stat.S_ISCHR(member.mode) and member.device == (0, 0)


def bytes_of(entry: Entry) -> bytes:
    """The content of an entry that has one."""
    return entry.content.read_bytes() if isinstance(entry.content, Path) else entry.content


def folders_of(name: bytes) -> Iterator[bytes]:
    """The folders that a name lies in, from its own up; not the root."""
    while name := os.path.dirname(name):
        yield name


def capture(upper: Path, below: Path | None = None) -> list[Entry]:
    """The entries of `upper`, sorted by name, over the merged view `below` of what it was made on.

    Without `below`, `upper` must be a settled one. Raises ImagebuilderError for
    what cannot be a layer of its own.
    """
    root = os.fsencode(upper)
    return cpio.number(_entries(root, b".", None if below is None else os.fsencode(below), hides=False))


def settle(upper: Path, entries: Sequence[Entry]) -> None:
    """Make of an upperdir what was captured of it: a folder without marks, which means the same on every mount."""
    root = os.fsencode(upper)
    wanted = {entry.name for entry in entries}
    for name in _names(root):
        path = os.path.join(root, name)
        if name not in wanted or stat.S_ISSOCK(os.lstat(path).st_mode):
            os.unlink(path)
    forget_marks(upper)
    for entry in entries:
        path = os.path.join(root, entry.name)
        if entry.kind == "whiteout" and not os.path.lexists(path):
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
    for entry in entries:
        if entry.kind == "folder":  # what was done in it here is no change of the image
            os.utime(os.path.join(root, entry.name), (entry.member.mtime, entry.member.mtime))


def forget_marks(upper: Path) -> None:
    """Take off what the kernel wrote for this very mount: opaque folders, and numbers that are others next time."""
    root = os.fsencode(upper)
    for path in (os.path.join(root, name) for name in _names(root)):
        for mark in _attributes(path):
            if mark.startswith(_MARKS):
                os.removexattr(path, mark, follow_symlinks=False)


def clamped(entries: Iterable[Entry], epoch: int) -> list[Entry]:
    """The same with no time after `epoch`, in seconds since 1970."""
    return [
        entry if entry.member.mtime <= epoch else replace(entry, member=replace(entry.member, mtime=epoch))
        for entry in entries
    ]


def standing_alone(entries: Sequence[Entry], chosen: Iterable[Entry]) -> list[Entry]:
    """The chosen entries with what they need to be a layer: all names of their files, and their folders."""
    inodes = {entry.member.inode for entry in chosen}
    names = {b"."}
    for entry in entries:
        if entry.member.inode in inodes:
            names |= {entry.name, *folders_of(entry.name)}
    return [entry for entry in entries if entry.name in names]


def replaced(entries: Iterable[Entry], below: Path) -> frozenset[bytes]:
    """The names of sorted entries, whiteouts apart, that the merged view `below` has as well."""
    root = os.fsencode(below)
    found: set[bytes] = set()
    folders = {b""}
    for entry in entries:
        path = os.path.join(root, entry.name)
        if os.path.dirname(entry.name) in folders and os.path.lexists(path):
            found |= {entry.name} if entry.kind != "whiteout" else set()
            folders |= {entry.name} if _is_folder(path) else set()
    return frozenset(found)


_NOTHING = b""
"""In place of the folder below: the layers below have none there. (None: they are not known.)"""


def _entries(root: bytes, name: bytes, below: bytes | None, *, hides: bool) -> Iterator[Entry]:
    """A folder of the upperdir and all in it.

    `below` is the folder that it lies on; `hides` says whether nothing of that one is to be seen.
    """
    folder, is_opaque = _entry(root, name)
    if is_opaque and below is None:
        raise ImagebuilderError(
            f"{folder.path} replaces a folder of the layers below, and these are not known",
            hint="say what the overlay was made on",
        )
    yield folder
    hides = hides or is_opaque
    present = frozenset(os.listdir(os.path.join(root, name)))
    for file_name in present:
        inside = _join(name, file_name)
        under = os.path.join(below, file_name) if below else below
        mode = os.lstat(os.path.join(root, inside)).st_mode
        if stat.S_ISDIR(mode):
            yield from _entries(root, inside, _NOTHING if under and not _is_folder(under) else under, hides=hides)
        elif stat.S_ISSOCK(mode) or (stat.S_ISCHR(mode) and is_whiteout(cpio.source(root, inside).member)):
            if under is None or (under and os.path.lexists(under)):
                yield whiteout(inside)
        else:
            yield _entry(root, inside)[0]
    if hides and below:
        yield from (whiteout(_join(name, file_name)) for file_name in os.listdir(below) if file_name not in present)


def _entry(root: bytes, name: bytes) -> tuple[Entry, bool]:
    """An entry without the kernel's marks, and whether one of these makes it opaque."""
    found = cpio.source(root, name)
    path = os.path.join(root, name)
    xattrs = {key: os.getxattr(path, key, follow_symlinks=False) for key in _attributes(path)}
    kept = tuple(sorted((key, value) for key, value in xattrs.items() if not key.startswith(_MARKS)))
    entry = Entry(found.member, found.content, kept)
    if any(f"{mark}{reference}" in xattrs for mark in _MARKS for reference in _REFERENCES):
        raise ImagebuilderError(f"{entry.path} exists only as a reference to another path of the overlay")
    return entry, any(xattrs.get(f"{mark}opaque") == b"y" for mark in _MARKS)


def _attributes(path: bytes) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:  # a file system without them
        if error.errno != errno.EOPNOTSUPP:
            raise
        return []


def _names(root: bytes) -> Iterator[bytes]:
    """All names below `root`, the root itself first."""
    yield b"."
    for folder, folders, files in os.walk(root):
        inside = os.path.relpath(folder, root)
        yield from (_join(inside, name) for name in (*folders, *files))


def _join(folder: bytes, name: bytes) -> bytes:
    return name if folder == b"." else os.path.join(folder, name)


def _is_folder(path: bytes) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)
