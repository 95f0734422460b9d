"""cpio archives in the `newc` format: what a kernel unpacks as initramfs and what an overlay travels in.

An archive is a row of members, closed by one named `TRAILER!!!`:

    "070701"  13 fields of 8 hex digits  name NUL  padding to 4  content  padding to 4

The fields are ino, mode, uid, gid, nlink, mtime, filesize, devmajor,
devminor, rdevmajor, rdevminor, namesize, check. Sizes and times have 32 bits
and there are no extended attributes. The names of one hard-linked file share
an inode number; the content follows the last of them. Sources: Linux
Documentation/driver-api/early-userspace/buffer-format.rst and cpio(5).

The same tree yields the same bytes: members are sorted by name, inodes
renumbered from 1, times clamped, the device that the tree lies on forgotten.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TypeVar

from imagebuilder.errors import ImagebuilderError

_MAGIC = b"070701"
_MAGICS = (_MAGIC, b"070702")  # 070702 fills the check field, which nobody reads
_FIELDS = 13
_TRAILER = b"TRAILER!!!"
_RECORD = 512  # GNU cpio's unit; some readers warn about an archive that ends short of it
_LIMIT = 0xFFFF_FFFF
_NAME_LIMIT = 4096  # Linux silently skips a member whose name does not fit PATH_MAX
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One name in an archive.

    `name` is relative and in bytes; the root itself is `.`. `mode` holds the
    type too. `device` is what a device node stands for (major, minor): 0:0 on
    a character device is an overlay's whiteout. Regular files with the same
    `inode` and `links` > 1 are one file. `size` counts the bytes that follow
    this very name.
    """

    name: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    inode: int = 0
    links: int = 1
    device: tuple[int, int] = (0, 0)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A member and its content: a file to read, or the bytes themselves (a symlink's target)."""

    member: Member
    content: Path | bytes = b""

    def copy_to(self, target: IO[bytes]) -> int:
        """Write the content, streamed; returns its size. Raises ImagebuilderError when a file has become shorter."""
        if isinstance(self.content, bytes):
            written = target.write(self.content)
        else:
            written = 0
            with self.content.open("rb") as file:
                while chunk := file.read(min(_CHUNK, self.member.size - written)):
                    written += target.write(chunk)
        if written != self.member.size:
            raise ImagebuilderError(f"`{os.fsdecode(self.member.name)}` became shorter while it was read")
        return written


AnySource = TypeVar("AnySource", bound=Source)


class Content:
    """The bytes after a member's header: read them before going on to the next member, or leave them."""

    def __init__(self, archive: IO[bytes], size: int) -> None:
        self._archive = archive
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, by default all that is left. Raises ImagebuilderError at a cut archive."""
        wanted = self._left if size < 0 else min(size, self._left)
        self._left -= wanted
        return _exactly(self._archive, wanted)

    def skip(self) -> None:
        """Pass over what is left."""
        while self.read(_CHUNK):
            pass


def scan(root: Path, *, clamp: int) -> list[Source]:
    """Everything below `root`, sorted by name, the root itself first.

    `clamp` (seconds since 1970: SOURCE_DATE_EPOCH) is the latest time that a member may carry.
    """
    base = os.fsencode(root)
    names = []
    for folder, folders, files in os.walk(base):
        inside = os.path.relpath(folder, base)
        names += [os.path.normpath(os.path.join(inside, name)) for name in (*folders, *files)]
    return number(_clamped(source(base, name), clamp) for name in (b".", *names))


def source(root: bytes, name: bytes) -> Source:
    """What is at `name` below `root`, its time as it is (whole seconds, none before 1970)."""
    path = os.path.join(root, name)
    status = os.lstat(path)
    mtime = max(int(status.st_mtime), 0)
    member = Member(name, status.st_mode, status.st_uid, status.st_gid, mtime)
    if stat.S_ISREG(status.st_mode):
        # Only regular files are linked: readers expect a symlink's target at every one of its names.
        inode = status.st_dev << 64 | status.st_ino if status.st_nlink > 1 else 0
        return Source(replace(member, size=status.st_size, inode=inode), Path(os.fsdecode(path)))
    if stat.S_ISLNK(status.st_mode):
        target = os.readlink(path)
        return Source(replace(member, size=len(target)), target)
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        return Source(replace(member, device=(os.major(status.st_rdev), os.minor(status.st_rdev))))
    return Source(member)


def number(sources: Iterable[AnySource]) -> list[AnySource]:
    """Sort by name, number inodes from 1, leave a hard-linked file's content at its last name.

    What comes in with equal inodes other than 0 is one file.
    """
    wanted = sorted(sources, key=lambda source: (source.member.name != b".", source.member.name))
    keys = [(source.member.inode, 0 if source.member.inode else index) for index, source in enumerate(wanted)]
    links = Counter(keys)
    last = {key: index for index, key in enumerate(keys)}
    inodes = {key: inode for inode, key in enumerate(links, start=1)}
    return [
        _numbered(source, inodes[key], links[key], has_content=last[key] == index)
        for index, (source, key) in enumerate(zip(wanted, keys, strict=True))
    ]


def write(sources: Iterable[Source], archive: IO[bytes]) -> int:
    """Write an archive, contents streamed. Returns its size in bytes.

    Raises ImagebuilderError for what newc cannot hold: sockets, files of
    4 GiB, names over 4095 bytes, a file that changes its size meanwhile.
    """
    total = 0
    for source in sources:
        _refuse_what_does_not_fit(source.member)
        total += archive.write(_header(source.member))
        total += source.copy_to(archive)
        total += archive.write(bytes(-source.member.size % 4))
    total += archive.write(_header(Member(_TRAILER, mode=0)))
    return total + archive.write(bytes(-total % _RECORD))


def read(archive: IO[bytes]) -> Iterator[tuple[Member, Content]]:
    """The members of an archive, or of several in a row with zeros between them, as a kernel reads them.

    Raises ImagebuilderError where the bytes are cut or are no newc archive.
    """
    closed = False
    while magic := _next_magic(archive, zeros_allowed=closed):
        member = _parse(magic, archive)
        closed = member.name == _TRAILER
        content = Content(archive, member.size)
        if not closed:
            yield member, content
        content.skip()
        _exactly(archive, -member.size % 4)
    if not closed:
        raise ImagebuilderError("the cpio archive ends without its trailer", hint="it was cut short: fetch it again")


def _clamped(source: Source, clamp: int) -> Source:
    return replace(source, member=replace(source.member, mtime=min(source.member.mtime, clamp)))


def _numbered(source: AnySource, inode: int, links: int, *, has_content: bool) -> AnySource:
    if has_content:
        return replace(source, member=replace(source.member, inode=inode, links=links))
    return replace(source, member=replace(source.member, inode=inode, links=links, size=0), content=b"")


def _header(member: Member) -> bytes:
    fields = (
        member.inode,
        member.mode,
        member.uid,
        member.gid,
        member.links,
        member.mtime,
        member.size,
        0,
        0,
        *member.device,
        len(member.name) + 1,
        0,
    )
    head = _MAGIC + b"".join(b"%08X" % field for field in fields) + member.name + b"\0"
    return head + bytes(-len(head) % 4)


def _refuse_what_does_not_fit(member: Member) -> None:
    shown = os.fsdecode(member.name)
    if stat.S_ISSOCK(member.mode):
        raise ImagebuilderError(f"`{shown}` is a socket, which an archive cannot hold", hint="remove it: `clean:`")
    if member.size > _LIMIT:
        raise ImagebuilderError(
            f"`{shown}` has {member.size} bytes; a cpio archive holds files of less than 4 GiB",
            hint="use `format: squashfs`",
        )
    if not 0 < len(member.name) < _NAME_LIMIT:
        raise ImagebuilderError(f"`{shown[:60]}...` is {len(member.name)} bytes long, over {_NAME_LIMIT - 1}")
    if member.name == _TRAILER:
        raise ImagebuilderError(f"a file named `{shown}` would end the archive", hint="rename it")


def _next_magic(archive: IO[bytes], *, zeros_allowed: bool) -> bytes:
    """The six bytes that open a member; empty at the end of the file."""
    word = archive.read(4)
    while zeros_allowed and word and not any(word):
        word = archive.read(4)
    return word and word + _exactly(archive, 2)


def _parse(magic: bytes, archive: IO[bytes]) -> Member:
    if magic not in _MAGICS:
        raise ImagebuilderError(f"no cpio archive of the newc kind: a member begins with {magic!r}")
    digits = _exactly(archive, 8 * _FIELDS)
    try:
        ino, mode, uid, gid, links, mtime, size, _, _, major, minor, name_size, _ = (
            int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)
        )
    except ValueError as error:
        raise ImagebuilderError(f"the cpio archive is damaged: {digits!r} are no hex digits") from error
    if not 1 < name_size <= _NAME_LIMIT:
        raise ImagebuilderError(f"the cpio archive is damaged: a name of {name_size} bytes")
    name = _exactly(archive, name_size + -(len(magic) + len(digits) + name_size) % 4)[: name_size - 1]
    return Member(name, mode, uid, gid, mtime, ino, links, (major, minor), size)


def _exactly(archive: IO[bytes], size: int) -> bytes:
    data = archive.read(size)
    if len(data) != size:
        raise ImagebuilderError("the cpio archive ends in the middle", hint="it was cut short: fetch it again")
    return data
