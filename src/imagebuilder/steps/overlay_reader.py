"""An overlay's file as entries again, whatever packed it, and what travels beside them."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import IO

from imagebuilder.errors import CommandError, ImagebuilderError, UserError
from imagebuilder.host.command import Command, output_of
from imagebuilder.steps import cpio, erofs
from imagebuilder.steps.cpio import Content, Member
from imagebuilder.steps.databases import Changes
from imagebuilder.steps.layer import Entry
from imagebuilder.steps.sidecar import ATTRIBUTES, CHANGES, FOLDER, REPLACES
from imagebuilder.steps.tar import XATTR

_READERS = {
    b"hsqs": ("sqfs2tar", "-r", "."),
    b"\x1f\x8b": ("gzip", "-dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq"),
    b"\xfd7zX": ("xz", "-dc"),
    b"0707": ("cat",),
}
"""By a file's first bytes what makes a tar of a squashfs, else a cpio archive of what is compressed."""
_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}
_PLACE = re.compile(r"[1-9][0-9]{0,5}/[a-z]+/.+", re.DOTALL)
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Overlay:
    """Its entries, numbered, each with its attributes; by `TURN/KIND/PATH` what it changed in databases.

    `replaces` are the names that were below as well; None when it does not say.
    """

    entries: tuple[Entry, ...]
    changes: Changes
    replaces: frozenset[bytes] | None = None


def read(path: Path, scratch: Path) -> Overlay:
    """Read an overlay; contents go to files in the folder `scratch`.

    Raises UserError for what is no overlay, ImagebuilderError for what is
    damaged or has names outside of itself.
    """
    with path.open("rb") as file:
        head = file.read(4)
    argv = next((argv for magic, argv in _READERS.items() if head.startswith(magic)), None)
    if argv is None:
        raise UserError(f"`{path}` is neither a squashfs nor a cpio archive", hint="name the file of an overlay")
    try:
        with output_of(Command((*argv, str(path)))) as stream:
            found = list((_from_tar if head == b"hsqs" else _from_cpio)(stream, scratch))
            stream.read()  # what is behind the end of an archive
    except (CommandError, tarfile.TarError, KeyError) as error:
        raise ImagebuilderError(f"`{path}` is damaged", hint="fetch it or build it again", detail=str(error)) from error
    except ImagebuilderError as error:
        raise ImagebuilderError(f"`{path}`: {error.message}", hint=error.hint) from error
    return _sorted_out({entry.name: entry for entry in found})


def _from_cpio(stream: IO[bytes], scratch: Path) -> Iterator[Entry]:
    """The content of a file with several names is behind one of them."""
    found: list[Entry] = []
    holders: dict[int, Entry] = {}
    for number, (member, content) in enumerate(cpio.read(stream)):
        is_linked = stat.S_ISREG(member.mode) and member.links > 1
        entry = Entry(
            replace(member, name=_inside(member.name), inode=member.inode if is_linked else 0),
            content.read() if stat.S_ISLNK(member.mode) else _kept(content, member.size, scratch / f"{number}"),
        )
        found.append(entry)
        if member.size:
            holders[entry.member.inode] = entry
    for entry in found:
        holder = holders.get(entry.member.inode, entry) if entry.member.inode else entry
        yield replace(entry, member=replace(entry.member, size=holder.member.size), content=holder.content)


def _from_tar(stream: IO[bytes], scratch: Path) -> Iterator[Entry]:
    found: dict[str, Entry] = {}
    numbers = count(1)
    with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
        for info in archive:
            name, number = _inside(os.fsencode(info.name)), next(numbers)
            if info.type == tarfile.LNKTYPE:
                entry = found[info.linkname]
                yield replace(entry, member=replace(entry.member, name=name))
                continue
            link = os.fsencode(info.linkname) if info.issym() else b""
            file = archive.extractfile(info) if info.isreg() else None
            member = Member(
                *(name, _TYPES[info.type] | info.mode, info.uid, info.gid, int(info.mtime)),
                inode=number if info.isreg() else 0,
                device=(info.devmajor, info.devminor) if info.ischr() or info.isblk() else (0, 0),
                size=len(link) or info.size,
            )
            content = _kept(file, info.size, scratch / f"{number}") if file else link
            found[info.name] = Entry(member, content, _attributes(info))
            yield found[info.name]


def _attributes(info: tarfile.TarInfo) -> tuple[tuple[str, bytes], ...]:
    start = os.fsdecode(XATTR)
    given = {name.removeprefix(start): value for name, value in info.pax_headers.items() if name.startswith(start)}
    return tuple(sorted((name, os.fsencode(value)) for name, value in given.items()))


def _kept(content: Content | IO[bytes], size: int, file: Path) -> Path | bytes:
    if not size:
        return b""
    with file.open("wb") as target:
        while chunk := content.read(_CHUNK):
            target.write(chunk)
    return file


def _inside(name: bytes) -> bytes:
    if name.startswith(b"/") or b".." in name.split(b"/"):
        raise ImagebuilderError(f"it has a name outside of itself: `{os.fsdecode(name)}`")
    return posixpath.normpath(name)


def _sorted_out(found: dict[bytes, Entry]) -> Overlay:
    """The image's own entries, with the attributes and lists that travel beside them."""
    beside = {name: entry for name, entry in found.items() if name == FOLDER or name.startswith(FOLDER + b"/")}
    own = _with_folders(entry for name, entry in found.items() if name not in beside)
    attributes = {}
    if (entry := beside.get(ATTRIBUTES)) and isinstance(entry.content, Path):
        with entry.content.open("rb") as image:
            attributes = erofs.read_attributes(image)
    entries = [replace(entry, xattrs=attributes.get(entry.name) or entry.xattrs) for entry in own]
    lists = {name: entry for name, entry in beside.items() if name.startswith(CHANGES) and entry.kind == "file"}
    changes = {os.fsdecode(name.removeprefix(CHANGES)): content(entry) for name, entry in lists.items()}
    if strange := [place for place in changes if not _PLACE.fullmatch(place)]:
        raise ImagebuilderError(f"a list of changes with a strange name travels beside the overlay: `{strange[0]}`")
    names = frozenset(content(beside[REPLACES]).split(b"\0")[:-1]) if REPLACES in beside else None
    return Overlay(tuple(cpio.number(entries)), changes, names)


def _with_folders(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, and the folders that an archive packed by hand leaves to whoever unpacks it."""
    found = {entry.name: entry for entry in entries}
    missing = {b"."} - found.keys()
    for name in found:
        while name := posixpath.dirname(name):
            missing |= {name} - found.keys()
    yield from found.values()
    yield from (Entry(Member(name, stat.S_IFDIR | 0o755)) for name in missing)


def content(entry: Entry) -> bytes:
    """The whole content of a small file."""
    return entry.content if isinstance(entry.content, bytes) else entry.content.read_bytes()
