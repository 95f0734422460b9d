"""Entries as a tar stream, the form in which a squashfs is made of a tree that lies in no folder.

GNU tar's headers (names of any bytes and length, ids and sizes of any size);
extended attributes in a pax header before a member, as `SCHILY.xattr.NAME`,
which GNU tar, libarchive and squashfs-tools all read. Source: tar(5).
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Sequence
from typing import IO

from imagebuilder.steps.layer import Entry

CARRIED = ("user.", "trusted.", "security.")
"""The attributes that are written: squashfs has no place for ACLs."""

XATTR = "SCHILY.xattr."
"""What names of extended attributes begin with in a pax header."""

_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def write(entries: Sequence[Entry], stream: IO[bytes]) -> None:
    """Write numbered entries; the first name of a file has its content, the others are links to it."""
    contents = {entry.member.inode: entry for entry in entries}  # the last name has it here
    first: dict[int, str] = {}
    for entry in entries:
        number = entry.member.inode
        if xattrs := [(name, value) for name, value in entry.xattrs if name.startswith(CARRIED)]:
            _write_pax(xattrs, stream)
        if number in first:
            stream.write(_header(entry, tarfile.LNKTYPE, first[number]))
            continue
        first[number] = _name(entry)
        content = contents[number]
        if entry.kind == "symlink":
            assert isinstance(content.content, bytes)
            stream.write(_header(entry, tarfile.SYMTYPE, os.fsdecode(content.content)))
        else:
            stream.write(_header(entry, _TYPES[stat.S_IFMT(entry.member.mode)], "", content.member.size))
            content.copy_to(stream)
            stream.write(bytes(-content.member.size % tarfile.BLOCKSIZE))
    stream.write(bytes(2 * tarfile.BLOCKSIZE))


def _name(entry: Entry) -> str:
    return "./" if entry.name == b"." else f"./{os.fsdecode(entry.name)}"


def _header(entry: Entry, kind: bytes, target: str, size: int = 0) -> bytes:
    member = entry.member
    info = tarfile.TarInfo(_name(entry))
    info.type, info.linkname, info.size = kind, target, size
    info.mode, info.uid, info.gid, info.mtime = stat.S_IMODE(member.mode), member.uid, member.gid, member.mtime
    info.devmajor, info.devminor = member.device
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _write_pax(xattrs: Sequence[tuple[str, bytes]], stream: IO[bytes]) -> None:
    records = b"".join(_record(os.fsencode(XATTR + name), value) for name, value in xattrs)
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    stream.write(info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % tarfile.BLOCKSIZE))


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE newline`, where the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(str(length)):
        length = len(rest) + len(str(length))
    return str(length).encode() + rest
