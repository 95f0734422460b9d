"""What a build needs to know of ELF files, without running them: libraries, interpreter, module information.

Only 64-bit little-endian files are read (amd64, arm64, riscv64). Sources:
elf(5), the System V ABI's chapter on dynamic linking, Linux include/linux/module.h
for `.modinfo`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imagebuilder.errors import ImagebuilderError

_MAGIC = b"\x7fELF\x02\x01"
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_RPATH, _DT_RUNPATH = 0, 1, 5, 15, 29


@dataclass(frozen=True, slots=True)
class Linkage:
    """How a program or library is linked: `interpreter` (a path, "" when none), names of `needed` libraries.

    `search` lists the folders that the file itself names (DT_RUNPATH, else DT_RPATH), `$ORIGIN` unexpanded.
    """

    interpreter: str
    needed: tuple[str, ...]
    search: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def is_elf(data: bytes) -> bool:
    """Whether these are the first bytes of a 64-bit little-endian ELF file."""
    return data.startswith(_MAGIC)


def linkage(data: bytes) -> Linkage:
    """Read a program or shared library. Raises ImagebuilderError when it is damaged."""
    try:
        segments = list(_segments(data))
        interpreter = next((_text(data, s.offset) for s in segments if s.kind == _PT_INTERP), "")
        dynamic = next((s for s in segments if s.kind == _PT_DYNAMIC), None)
        entries = list(_dynamic(data, dynamic)) if dynamic else []
        strings = next((_file_offset(segments, value) for tag, value in entries if tag == _DT_STRTAB), 0)
    except (struct.error, ValueError) as error:
        raise ImagebuilderError(f"a damaged ELF file: {error}") from error

    def values(tag: int) -> list[str]:
        return [_text(data, strings + value) for wanted, value in entries if wanted == tag]

    paths = values(_DT_RUNPATH) or values(_DT_RPATH)
    return Linkage(interpreter, tuple(values(_DT_NEEDED)), tuple(p for path in paths for p in path.split(":") if p))


def modinfo(data: bytes) -> Mapping[str, tuple[str, ...]]:
    """The `key=value` texts of a kernel module, by key. Raises ImagebuilderError when it is none."""
    try:
        text = _section(data, b".modinfo")
    except (struct.error, ValueError) as error:
        raise ImagebuilderError(f"no kernel module: {error}") from error
    found: dict[str, tuple[str, ...]] = {}
    for item in text.split(b"\0"):
        key, equals, value = item.decode("utf-8", "replace").partition("=")
        if equals:
            found[key] = (*found.get(key, ()), value)
    return found


def _segments(data: bytes) -> Iterator[_Segment]:
    (table,) = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    for at in range(table, table + size * count, size):
        kind, _, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, at)
        yield _Segment(kind, offset, address, length)


def _dynamic(data: bytes, segment: _Segment) -> Iterator[tuple[int, int]]:
    for at in range(segment.offset, segment.offset + segment.size, 16):
        tag, value = struct.unpack_from("<qQ", data, at)
        if tag == _DT_NULL:
            return
        yield tag, value


def _file_offset(segments: list[_Segment], address: int) -> int:
    for segment in segments:
        if segment.kind == _PT_LOAD and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    raise ValueError(f"no segment holds the address {address:#x}")


def _section(data: bytes, name: bytes) -> bytes:
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", data, table + size * index) for index in range(count)]
    (strings,) = struct.unpack_from("<Q", data, table + size * names + 0x18)
    for name_at, _, _, _, offset, length in sections:
        if data[strings + name_at : strings + name_at + len(name) + 1] == name + b"\0":
            return data[offset : offset + length]
    raise ValueError(f"it has no section `{name.decode()}`")


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode("utf-8", "surrogateescape")
