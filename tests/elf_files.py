"""Small ELF files for tests: programs and libraries that name what they need, modules that describe themselves."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_IDENT = b"\x7fELF\x02\x01\x01" + bytes(9)
_ADDRESS = 0x10000  # where the file would be mapped: differs from offsets in the file, as in real ones


def elf_program(needed: Sequence[str] = (), interpreter: str = "", runpath: str = "") -> bytes:
    """A program (or, without an interpreter, a library)."""
    strings = b"\0"
    entries = b""
    for tag, text in [*((1, name) for name in needed), *([(29, runpath)] if runpath else [])]:
        entries += struct.pack("<qQ", tag, len(strings))
        strings += text.encode() + b"\0"
    count = 3 if interpreter else 2
    strings_at = _HEADER.size + 56 * count
    path_at = strings_at + len(strings)
    dynamic_at = path_at + len(interpreter) + 1
    entries += struct.pack("<qQqQ", 5, _ADDRESS + strings_at, 0, 0)
    end = dynamic_at + len(entries)
    segments = _segment(1, 0, end) + _segment(2, dynamic_at, len(entries))
    if interpreter:
        segments += _segment(3, path_at, len(interpreter) + 1)
    header = _HEADER.pack(_IDENT, 3, 62, 1, 0, _HEADER.size, 0, 0, _HEADER.size, 56, count, 64, 0, 0)
    return header + segments + strings + interpreter.encode() + b"\0" + entries


def kernel_module(*info: str) -> bytes:
    """A module whose `.modinfo` holds the given `key=value` texts."""
    text = b"".join(item.encode() + b"\0" for item in info)
    names = b"\0.modinfo\0.shstrtab\0"
    table = _HEADER.size + len(text) + len(names)
    sections = bytes(64) + _section(1, _HEADER.size, len(text)) + _section(10, _HEADER.size + len(text), len(names))
    header = _HEADER.pack(_IDENT, 1, 62, 1, 0, 0, table, 0, _HEADER.size, 0, 0, 64, 3, 2)
    return header + text + names + sections


def _segment(kind: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, 4, offset, _ADDRESS + offset, _ADDRESS + offset, size, size, 1)


def _section(name: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", name, 1, 0, 0, offset, size, 0, 0, 1, 0)
