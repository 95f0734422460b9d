"""Entries as an EROFS image: what carries the attributes that an archive, or a squashfs, has no place for.

Plain and small, and the same bytes for the same entries: nothing compressed,
every inode of the long form, contents in blocks of their own.

    block 0     1024 bytes, the superblock, then inodes: each 64 bytes and its attributes, from a multiple of 32
    block n     folders and contents, each from the beginning of a block

A folder's block holds 12 bytes for each name (inode, where its name begins,
type), then the names. Inodes are named by where they lie, in units of 32.
Sources: Linux fs/erofs/erofs_fs.h and Documentation/filesystems/erofs.rst.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps.layer import Entry

_BLOCK = 4096
_SLOT = 32
_SUPERBLOCK_AT = 1024
_SUPERBLOCK = struct.Struct("<IIIBBHQQIIII16s16sI44x")
_INODE = struct.Struct("<HHHHQIIIIQII16x")
_DIRENT = struct.Struct("<QHBx")
_XATTR = struct.Struct("<BBH")
_XATTR_HEAD = bytes(12)
_XATTR_LIMIT = 0xFFFF * 4
_LONGEST = 4096  # PATH_MAX
_MAGIC = 0xE0F5E1E2
_EXTENDED, _PLAIN = 1, 0 << 1
_PREFIXES = (
    ("system.posix_acl_access", 2),
    ("system.posix_acl_default", 3),
    ("user.", 1),
    ("trusted.", 4),
    ("security.", 6),
)
_TYPES = {stat.S_IFREG: 1, stat.S_IFDIR: 2, stat.S_IFCHR: 3, stat.S_IFBLK: 4, stat.S_IFIFO: 5, stat.S_IFLNK: 7}


@dataclass(slots=True)
class _Inode:
    """An inode and where it lies: `at` in slots, its content of `size` bytes from `block` on."""

    entry: Entry
    xattrs: bytes
    at: int
    links: int = 1
    block: int = 0
    size: int = 0
    names: dict[bytes, _Inode] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The byte after it."""
        return self.at * _SLOT + _INODE.size + len(self.xattrs)

    @property
    def is_folder(self) -> bool:
        """Whether its content is names."""
        return stat.S_ISDIR(self.entry.member.mode)


def write(entries: Sequence[Entry], image: IO[bytes]) -> None:
    """Write the image of numbered entries, every folder before what is in it, the root first.

    Raises ImagebuilderError for an attribute that it cannot hold.
    """
    inodes = _placed(entries)
    block = -(-inodes[-1].end // _BLOCK)
    for inode in inodes:
        inode.size = len(_names(inode)) if inode.is_folder else inode.entry.member.size
        inode.block = block if inode.size else 0
        block += -(-inode.size // _BLOCK)
    image.write(bytes(_SUPERBLOCK_AT) + _superblock(inodes, block))
    position = _SUPERBLOCK_AT + _SUPERBLOCK.size
    for number, inode in enumerate(inodes, start=1):
        image.write(bytes(inode.at * _SLOT - position) + _packed(inode, number) + inode.xattrs)
        position = inode.end
    image.write(bytes(-position % _BLOCK))
    for inode in inodes:
        if inode.is_folder:
            image.write(_names(inode))
        else:
            inode.entry.copy_to(image)
        image.write(bytes(-inode.size % _BLOCK))


def read_attributes(image: bytes) -> dict[bytes, tuple[tuple[str, bytes], ...]]:
    """The attributes of every name in an image that `write` made, the root's too.

    Raises ImagebuilderError for what is none.
    """
    try:
        magic, _, _, _, _, root, *_ = _SUPERBLOCK.unpack_from(image, _SUPERBLOCK_AT)
        if magic != _MAGIC:
            raise ValueError("it has another magic number")
        found: dict[bytes, tuple[tuple[str, bytes], ...]] = {}
        waiting = [(b".", root)]
        while waiting:
            # Each name takes up room in one folder alone; folders that lead back are read again and again.
            is_more = (len(found) + len(waiting)) * _DIRENT.size > len(image)
            name, at = waiting.pop()
            if is_more or name in found or len(name) > _LONGEST:
                raise ValueError("its folders go round in circles")
            form, count, mode, _, size, block, *_ = _INODE.unpack_from(image, at * _SLOT)
            if form != _EXTENDED | _PLAIN:
                raise ValueError("it has an inode of another form")
            found[name] = tuple(sorted(_attributes(image, at * _SLOT + _INODE.size, count)))
            if stat.S_ISDIR(mode):
                names = image[block * _BLOCK : block * _BLOCK + size]
                if len(names) != size:
                    raise ValueError("a folder is cut")
                waiting += [(inside if name == b"." else name + b"/" + inside, n) for inside, n in _inside(names)]
        return found
    except (ValueError, OverflowError, struct.error, KeyError, IndexError) as error:
        raise ImagebuilderError(f"the attributes that travel with the overlay are damaged: {error}") from None


def _attributes(image: bytes, place: int, count: int) -> Iterator[tuple[str, bytes]]:
    """The attributes that follow an inode; `count` is as it says it."""
    prefixes = {index: prefix for prefix, index in _PREFIXES}
    end = place + len(_XATTR_HEAD) + 4 * (count - 1)
    place += len(_XATTR_HEAD)
    while count and place < end:
        length, index, size = _XATTR.unpack_from(image, place)
        begin = place + _XATTR.size
        value = image[begin + length : begin + length + size]
        if len(value) != size:
            raise ValueError("an attribute is cut")
        yield prefixes[index] + os.fsdecode(image[begin : begin + length]), value
        place = -(-(begin + length + size) // 4) * 4


def _inside(names: bytes) -> Iterator[tuple[bytes, int]]:
    """The names in a folder's content but `.` and `..`, each with where its inode lies."""
    for start in range(0, len(names), _BLOCK):
        block = names[start : start + _BLOCK]
        count = _DIRENT.unpack_from(block)[1] // _DIRENT.size
        rows = [_DIRENT.unpack_from(block, number * _DIRENT.size) for number in range(count)]
        ends = [*(row[1] for row in rows[1:]), len(block)]
        for (at, begin, _), end in zip(rows, ends, strict=True):
            name = block[begin:end].rstrip(b"\0")
            if name not in (b".", b".."):
                yield name, at


def _placed(entries: Sequence[Entry]) -> list[_Inode]:
    """The inodes, in their order, with the names in each folder."""
    last = {entry.member.inode: entry for entry in entries}  # the last name of a file has its content
    found: dict[int, _Inode] = {}
    folders: dict[bytes, _Inode] = {}
    at = (_SUPERBLOCK_AT + _SUPERBLOCK.size) // _SLOT
    for entry in entries:
        number = entry.member.inode
        if number in found:
            found[number].links += 1
        else:
            found[number] = _Inode(last[number], _xattrs(entry), at)
            at = -(-found[number].end // _SLOT)
        inode = found[number]
        folder, _, name = entry.name.rpartition(b"/")
        parent = folders[folder] if entry.name != b"." else inode
        if entry.name != b".":
            parent.names[name] = inode
        if inode.is_folder:
            folders[entry.name if entry.name != b"." else b""] = inode
            inode.names |= {b".": inode, b"..": parent}
            inode.links += 1
            parent.links += parent is not inode
    return list(found.values())


def _xattrs(entry: Entry) -> bytes:
    """The attributes as they follow the inode."""
    if not entry.xattrs:
        return b""
    packed = _XATTR_HEAD
    for name, value in entry.xattrs:
        prefix, index = next(((p, i) for p, i in _PREFIXES if name.startswith(p)), ("", 0))
        rest = os.fsencode(name.removeprefix(prefix))
        if not index or len(rest) > 0xFF or len(value) > 0xFFFF:
            raise ImagebuilderError(f"{entry.path} has an attribute `{name}`, which no layer can carry")
        packed += _XATTR.pack(len(rest), index, len(value)) + rest + value
        packed += bytes(-len(packed) % 4)
    if len(packed) > _XATTR_LIMIT:
        raise ImagebuilderError(f"{entry.path} has {len(packed)} bytes of attributes, over {_XATTR_LIMIT}")
    return packed


def _superblock(inodes: Sequence[_Inode], blocks: int) -> bytes:
    return _SUPERBLOCK.pack(
        *(_MAGIC, 0, 0, _BLOCK.bit_length() - 1, 0, inodes[0].at),
        *(len(inodes), 0, 0, blocks, 0, 0, bytes(16), bytes(16), 0),
    )


def _packed(inode: _Inode, number: int) -> bytes:
    member = inode.entry.member
    major, minor = member.device
    device = (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)  # Linux new_encode_dev
    has_content = stat.S_IFMT(member.mode) in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)
    return _INODE.pack(
        *(_EXTENDED | _PLAIN, (len(inode.xattrs) - len(_XATTR_HEAD)) // 4 + 1 if inode.xattrs else 0),
        *(member.mode, 0, inode.size, inode.block if has_content else device, number),
        *(member.uid, member.gid, member.mtime, 0, inode.links),
    )


def _names(folder: _Inode) -> bytes:
    """A folder's content: in every block as many names as fit, sorted over all."""
    blocks: list[list[tuple[bytes, _Inode]]] = [[]]
    room = _BLOCK
    for name, inode in sorted(folder.names.items()):
        if _DIRENT.size + len(name) > room:
            blocks.append([])
            room = _BLOCK
        blocks[-1].append((name, inode))
        room -= _DIRENT.size + len(name)
    packed = [_names_block(names) for names in blocks]
    return b"".join([*(block + bytes(_BLOCK - len(block)) for block in packed[:-1]), packed[-1]])


def _names_block(names: Sequence[tuple[bytes, _Inode]]) -> bytes:
    place = len(names) * _DIRENT.size
    entries = b""
    for name, inode in names:
        entries += _DIRENT.pack(inode.at, place, _TYPES[stat.S_IFMT(inode.entry.member.mode)])
        place += len(name)
    return entries + b"".join(name for name, _ in names)
