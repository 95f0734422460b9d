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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

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


def contents_of(entries: Sequence[Entry]) -> Callable[[str], bytes]:
    """What gives the content of the file at a relative path; empty when there is none."""
    files = {entry.name: entry.member.inode for entry in entries if entry.kind == "file"}
    whole = {entry.member.inode: entry for entry in entries if entry.kind == "file" and entry.member.size}

    def content(path: str) -> bytes:
        entry = whole.get(files.get(os.fsencode(path), 0))
        return bytes_of(entry) if entry else b""

    return content


def folders_of(name: bytes) -> Iterator[bytes]:
    """The folders that a name lies in, from its own up; not the root."""
    while name := os.path.dirname(name):
        yield name


def capture(upper: Path, below: Path | None = None) -> list[Entry]:
    """The entries of `upper`, sorted by name, over the merged view `below` of what it was made on.

    Without `below`, `upper` must be a settled one. Raises ImagebuilderError for
    what cannot be a layer of its own.
    """
    return cpio.number(meant(marked(upper), None if below is None else Mounted(below)))


def marked(upper: Path) -> Iterator[Entry]:
    """The names of an upperdir as they are, with the kernel's marks, in no order."""
    root = os.fsencode(upper)
    return (_entry(root, name) for name in _names(root))


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


class Below(Protocol):
    """What an upperdir lies on, merged."""

    def has(self, name: bytes) -> bool:
        """Whether there is anything at `name`; asked of names whose folder is one."""

    def is_folder(self, name: bytes) -> bool:
        """Whether that is a folder, and no link to one."""

    def names_in(self, folder: bytes) -> Iterable[bytes]:
        """The names in a folder, each with the folder's."""


@dataclass(frozen=True, slots=True)
class Mounted:
    """A merged view that is mounted at `root`."""

    root: Path

    def has(self, name: bytes) -> bool:
        return os.path.lexists(self._path(name))

    def is_folder(self, name: bytes) -> bool:
        path = self._path(name)
        return os.path.isdir(path) and not os.path.islink(path)

    def names_in(self, folder: bytes) -> Iterable[bytes]:
        return (_join(folder, name) for name in os.listdir(self._path(folder)))

    def _path(self, name: bytes) -> bytes:
        return os.path.join(os.fsencode(self.root), name)


@dataclass(frozen=True, slots=True)
class Listed:
    """A merged view whose names are known, and of each folder the names in it."""

    names: Collection[bytes]
    folders: Mapping[bytes, Sequence[bytes]]

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Listed:
        """That of its entries."""
        modes = {entry.name: entry.member.mode for entry in entries}
        folders: dict[bytes, list[bytes]] = {name: [] for name, mode in modes.items() if stat.S_ISDIR(mode)}
        for name in modes:
            if _folder_of(name) in folders:
                folders[_folder_of(name)].append(name)
        return cls(modes.keys(), folders)

    def has(self, name: bytes) -> bool:
        return name in self.names

    def is_folder(self, name: bytes) -> bool:
        return name in self.folders

    def names_in(self, folder: bytes) -> Iterable[bytes]:
        return self.folders[folder]


def replaced(entries: Iterable[Entry], below: Below) -> frozenset[bytes]:
    """The names of sorted entries, whiteouts apart, that there are below as well."""
    found: set[bytes] = set()
    folders = {b""}
    for entry in entries:
        if os.path.dirname(entry.name) in folders and below.has(entry.name):
            found |= {entry.name} if entry.kind != "whiteout" else set()
            folders |= {entry.name} if below.is_folder(entry.name) else set()
    return frozenset(found)


def meant(found: Iterable[Entry], below: Below | None) -> Iterator[Entry]:
    """What the names of an upperdir mean over `below`; None: that is not known.

    They have the kernel's marks among their attributes, and sockets are among them.
    """
    entries = sorted(found, key=lambda entry: (entry.name != b".", entry.name))  # folders before what is in them
    present = {entry.name for entry in entries}
    lies_on: dict[bytes, bool] = {b"": below is not None}  # whether a folder has one below
    hides: dict[bytes, bool] = {b"": False}  # whether nothing of that one is to be seen
    for marked in entries:
        entry, is_opaque = _unmarked(marked)
        name, mode = entry.name, entry.member.mode
        folder = _folder_of(name)
        if stat.S_ISDIR(mode):
            lies_on[name] = below is not None and lies_on[folder] and below.is_folder(name)
            hides[name] = hides[folder] or is_opaque
            if is_opaque and below is None:
                raise ImagebuilderError(
                    f"{entry.path} replaces a folder of the layers below, and these are not known",
                    hint="say what the overlay was made on",
                )
            yield entry
            if hides[name] and lies_on[name] and below:
                yield from (whiteout(hidden) for hidden in below.names_in(name) if hidden not in present)
        elif stat.S_ISSOCK(mode) or is_whiteout(entry.member):
            if below is None or (lies_on[folder] and below.has(name)):
                yield whiteout(name)
        else:
            yield entry


def _entry(root: bytes, name: bytes) -> Entry:
    """An entry with the kernel's marks."""
    found = cpio.source(root, name)
    path = os.path.join(root, name)
    xattrs = tuple((key, os.getxattr(path, key, follow_symlinks=False)) for key in sorted(_attributes(path)))
    return Entry(found.member, found.content, xattrs)


def _unmarked(entry: Entry) -> tuple[Entry, bool]:
    """An entry without the kernel's marks, and whether one of these makes it opaque."""
    marks = {name: value for name, value in entry.xattrs if name.startswith(_MARKS)}
    if not marks:
        return entry, False
    if any(f"{mark}{reference}" in marks for mark in _MARKS for reference in _REFERENCES):
        raise ImagebuilderError(f"{entry.path} exists only as a reference to another path of the overlay")
    kept = tuple((name, value) for name, value in entry.xattrs if name not in marks)
    return replace(entry, xattrs=kept), any(marks.get(f"{mark}opaque") == b"y" for mark in _MARKS)


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
    for folder, folders, files in os.walk(root, onerror=_raise):
        inside = os.path.relpath(folder, root)
        yield from (_join(inside, name) for name in (*folders, *files))


def _raise(error: OSError) -> None:
    raise error


def _join(folder: bytes, name: bytes) -> bytes:
    return name if folder == b"." else os.path.join(folder, name)


def _folder_of(name: bytes) -> bytes:
    """The folder that a name is in: `.` that of names without a slash, and "" that of `.`."""
    return os.path.dirname(name) or (b"" if name == b"." else b".")
