"""An artifact read back into the entries that it was made of: what `steps.layer.capture` gave.

Contents of files go into a folder, one file each, so that memory does not grow
with them. What travels beside an overlay (steps/sidecar.py) is put back where
it belongs. Nothing is ever written under a name that an archive gives, and a
name that would lead out of the root is refused: others unpack these files, too.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import cpio, erofs
from imagebuilder.steps.cpio import Content, Member
from imagebuilder.steps.databases import Changes
from imagebuilder.steps.layer import Entry, bytes_of, folders_of
from imagebuilder.steps.sidecar import ATTRIBUTES, CHANGES, FOLDER, FOOTING, REPLACES
from imagebuilder.steps.tar import XATTR

_TARGET_LIMIT = 4096  # PATH_MAX
_PLACE = re.compile(r"[1-9][0-9]{0,5}/[a-z]+/.+", re.DOTALL)
_CHUNK = 1 << 20
_TYPES = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


@dataclass(frozen=True, slots=True)
class Unpacked:
    """An artifact's entries, numbered; what came beside: by `TURN/KIND/PATH` what it changed in databases.

    `replaces` are the names that were below as well where it was made; None when it does not say. `footing` is what
    it stands on, empty when it does not say.
    """

    entries: list[Entry]
    changes: Changes
    replaces: frozenset[bytes] | None = None
    footing: bytes = b""


def from_cpio(archive: IO[bytes], folder: Path) -> Unpacked:
    """What a newc archive holds; contents go into `folder`. Raises ImagebuilderError."""
    return _finished(_cpio_entries(archive, folder))


def from_tar(stream: IO[bytes], folder: Path) -> Unpacked:
    """What a tar stream holds, as `sqfs2tar` writes it, likewise."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
            return _finished(_tar_entries(archive, folder))
    except (tarfile.TarError, EOFError) as error:
        raise ImagebuilderError(f"the tar stream is damaged: {error}") from None


def upper_from_tar(stream: IO[bytes], folder: Path) -> list[Entry]:
    """The names of an upperdir, as `layer.meant` takes them, out of the stream that GNU tar makes of it.

    Its form is POSIX, with all extended attributes; sockets tar leaves out. Contents go into `folder`.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
            entries = _by_name(map(_with_decoded_attributes, _tar_entries(archive, folder)))
    except (tarfile.TarError, EOFError) as error:
        raise ImagebuilderError(f"the tar stream is damaged: {error}") from None
    return [*entries.values(), *_missing_folders(list(entries.values()))]


def _cpio_entries(archive: IO[bytes], folder: Path) -> Iterator[Entry]:
    for number, (member, content) in enumerate(cpio.read(archive)):
        is_file = stat.S_ISREG(member.mode)
        inode = member.inode if is_file and member.links > 1 else 0
        found = replace(member, name=_clean(member.name), inode=inode)
        if is_file and member.size:
            yield Entry(found, _kept(content, folder / str(number)))
        elif stat.S_ISLNK(member.mode) and member.size <= _TARGET_LIMIT:
            yield Entry(found, content.read())
        elif member.size:
            raise ImagebuilderError(f"`{os.fsdecode(member.name)}` has a content, which its type has no place for")
        else:
            yield Entry(found)


def _tar_entries(archive: tarfile.TarFile, folder: Path) -> Iterator[Entry]:
    found: dict[bytes, Entry] = {}
    for number, info in enumerate(archive, start=1):
        name = _clean(_bytes(info.name))
        if info.islnk():
            first = found.get(_clean(_bytes(info.linkname)))
            if not first:
                raise ImagebuilderError(f"`{info.name}` is a link to `{info.linkname}`, which is not in the archive")
            entry = replace(first, member=replace(first.member, name=name))
        else:
            entry = _tar_entry(archive, info, name, number, folder)
        found[name] = entry
        yield entry


def _tar_entry(archive: tarfile.TarFile, info: tarfile.TarInfo, name: bytes, number: int, folder: Path) -> Entry:
    member = Member(name, stat.S_IFREG | info.mode, info.uid, info.gid, max(0, int(info.mtime)))
    content: Path | bytes = b""
    xattrs = {
        key.removeprefix(XATTR): _bytes(value) for key, value in info.pax_headers.items() if key.startswith(XATTR)
    }
    if info.isreg():
        member = replace(member, inode=number, size=info.size)
        if info.size and (file := archive.extractfile(info)):
            content = _kept(file, folder / str(number))
    elif info.type in _TYPES:
        content = _bytes(info.linkname) if info.issym() else b""
        member = replace(member, mode=_TYPES[info.type] | info.mode, size=len(content))
        if info.ischr() or info.isblk():
            member = replace(member, device=(info.devmajor, info.devminor))
    else:
        raise ImagebuilderError(f"`{info.name}` is of a type that no layer has")
    return Entry(member, content, tuple(sorted(xattrs.items())))


def _with_decoded_attributes(entry: Entry) -> Entry:
    """GNU tar writes what parts a name from its value as %3D in the name, and so % as %25."""
    decoded = ((name.replace("%3D", "=").replace("%25", "%"), value) for name, value in entry.xattrs)
    return replace(entry, xattrs=tuple(sorted(decoded))) if entry.xattrs else entry


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _kept(content: Content | IO[bytes], path: Path) -> Path:
    with path.open("wb") as file:
        while chunk := content.read(_CHUNK):
            if chunk.count(0) == len(chunk):  # a hole takes no room here either
                file.seek(len(chunk), os.SEEK_CUR)
            else:
                file.write(chunk)
        file.truncate()
    return path


def _clean(name: bytes) -> bytes:
    """A name as ours are: relative, the root `.`. Raises ImagebuilderError for one that leads elsewhere."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts:
        raise ImagebuilderError(
            f"the name `{os.fsdecode(name)}` leads out of the root", hint="it is no overlay of ours"
        )
    return b"/".join(parts) or b"."


def _finished(found: Iterable[Entry]) -> Unpacked:
    """The entries without what travelled beside them, but with its attributes; and what else it says."""
    entries = _by_name(found)
    beside = {
        name: bytes_of(entry)
        for name, entry in entries.items()
        if name.startswith(FOLDER + b"/") and entry.kind == "file"
    }
    attributes = erofs.read_attributes(beside[ATTRIBUTES]) if ATTRIBUTES in beside else {}
    contents = {entry.member.inode: entry for entry in entries.values() if entry.member.size}
    own = [entry for name, entry in entries.items() if name != FOLDER and not name.startswith(FOLDER + b"/")]
    changes = {
        os.fsdecode(name.removeprefix(CHANGES)): said for name, said in beside.items() if name.startswith(CHANGES)
    }
    if strange := next((place for place in changes if not _PLACE.fullmatch(place)), None):
        raise ImagebuilderError(f"a list of changes with a strange name travels beside it: `{strange}`")
    return Unpacked(
        cpio.number([*(_whole(entry, contents, attributes) for entry in own), *_missing_folders(own)]),
        changes,
        frozenset(beside[REPLACES].split(b"\0")[:-1]) if REPLACES in beside else None,
        beside.get(FOOTING, b""),
    )


def _by_name(found: Iterable[Entry]) -> dict[bytes, Entry]:
    entries: dict[bytes, Entry] = {}
    for entry in found:
        before = entries.get(entry.name)
        if before and not before.kind == entry.kind == "folder":
            raise ImagebuilderError(f"{entry.path} is in the archive twice")
        entries[entry.name] = entry
    _refuse_detours(entries)
    return entries


def _missing_folders(entries: Sequence[Entry]) -> Iterator[Entry]:
    """The folders that an archive packed by hand leaves to whoever unpacks it."""
    names = {entry.name for entry in entries}
    above = {folder for name in names for folder in folders_of(name)}
    yield from (Entry(Member(name, stat.S_IFDIR | 0o755)) for name in (above | {b"."}) - names)


def _refuse_detours(entries: dict[bytes, Entry]) -> None:
    """Raise ImagebuilderError for an entry in what is no folder: who unpacks it would follow the link there."""
    for entry in entries.values():
        above = entries.get(os.path.dirname(entry.name))
        if above and above.kind != "folder":
            raise ImagebuilderError(
                f"{entry.path} lies in {above.path}, a {above.kind}: it would be written elsewhere",
                hint="it is no overlay of ours",
            )


def _whole(entry: Entry, contents: dict[int, Entry], attributes: dict[bytes, tuple[tuple[str, bytes], ...]]) -> Entry:
    """An entry with the content that another name of the file came with, and with its attributes."""
    with_content = contents.get(entry.member.inode) if entry.member.inode else None
    if with_content:
        member = replace(entry.member, size=with_content.member.size)
        entry = replace(entry, member=member, content=with_content.content)
    return replace(entry, xattrs=attributes.get(entry.name, entry.xattrs))
