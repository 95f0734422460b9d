"""An artifact read back into the entries that it was made of: what `steps.layer.capture` gave.

Contents of files go into a folder, one file each, so that memory does not grow
with them. What travels beside an overlay (steps/sidecar.py) is put back where
it belongs. Nothing is ever written under a name that an archive gives, and a
name that would lead out of the root is refused: others unpack these files, too.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import cpio, erofs
from imagebuilder.steps.cpio import Content, Member
from imagebuilder.steps.layer import Entry
from imagebuilder.steps.sidecar import FOLDER
from imagebuilder.steps.tar import XATTR

_TARGET_LIMIT = 4096  # PATH_MAX
_CHUNK = 1 << 20
_TYPES = {
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.FIFOTYPE: stat.S_IFIFO,
}


def from_cpio(archive: IO[bytes], folder: Path) -> list[Entry]:
    """The entries of a newc archive, numbered; contents go into `folder`. Raises ImagebuilderError."""
    return _finished(_cpio_entries(archive, folder))


def from_tar(stream: IO[bytes], folder: Path) -> list[Entry]:
    """The entries of a tar stream, as `sqfs2tar` writes it, likewise."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as archive:
            return _finished(_tar_entries(archive, folder))
    except (tarfile.TarError, EOFError) as error:
        raise ImagebuilderError(f"the tar stream is damaged: {error}") from None


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
    inodes: dict[bytes, int] = {}
    for number, info in enumerate(archive, start=1):
        name = _clean(_bytes(info.name))
        member = Member(name, stat.S_IFREG | info.mode, info.uid, info.gid, max(0, int(info.mtime)))
        content: Path | bytes = b""
        xattrs = {
            key.removeprefix(XATTR): _bytes(value) for key, value in info.pax_headers.items() if key.startswith(XATTR)
        }
        if info.islnk():
            member = replace(member, inode=inodes.get(_clean(_bytes(info.linkname)), 0))
        elif info.isreg():
            inodes[name] = number
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
        yield Entry(member, content, tuple(sorted(xattrs.items())))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _kept(content: Content | IO[bytes], path: Path) -> Path:
    with path.open("wb") as file:
        while chunk := content.read(_CHUNK):
            file.write(chunk)
    return path


def _clean(name: bytes) -> bytes:
    """A name as ours are: relative, the root `.`. Raises ImagebuilderError for one that leads elsewhere."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if name.startswith(b"/") or b".." in parts:
        raise ImagebuilderError(
            f"the name `{os.fsdecode(name)}` leads out of the root", hint="it is no overlay of ours"
        )
    return b"/".join(parts) or b"."


def _finished(found: Iterable[Entry]) -> list[Entry]:
    """The entries, numbered, without what travelled beside them, but with its attributes."""
    entries: dict[bytes, Entry] = {}
    for entry in found:
        before = entries.get(entry.name)
        if before and not before.kind == entry.kind == "folder":
            raise ImagebuilderError(f"{entry.path} is in the archive twice")
        entries[entry.name] = entry
    _refuse_detours(entries)
    beside = entries.get(FOLDER + b"/attributes")
    attributes = (
        erofs.read_attributes(beside.content.read_bytes()) if beside and isinstance(beside.content, Path) else {}
    )
    contents = {entry.member.inode: entry for entry in entries.values() if entry.member.size}
    return cpio.number(
        _whole(entry, contents, attributes)
        for entry in entries.values()
        if entry.name != FOLDER and not entry.name.startswith(FOLDER + b"/")
    )


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
