"""A unified kernel image: kernel, initrd and kernel arguments as one UEFI program, which one signature covers.

It is systemd's stub with three sections more, `.cmdline`, `.initrd` and `.linux`. Under Secure Boot the stub
takes no other arguments. The same parts give the same bytes.

Sources: Microsoft's PE format; the UAPI group's Unified Kernel Image specification.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host import command, tools
from imagebuilder.host.command import Command

STUB = Path("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")

_SECTION = struct.Struct("<8sIIIIIIHHI")  # a section's header
_READ_DATA = 0x40000040  # initialised data, readable
_ENTRY_SIZE = struct.Struct("<H")
_WORD = struct.Struct("<I")
# Places in the headers, counted from the PE signature.
_SECTIONS, _SYMBOLS, _OPTIONAL_SIZE, _OPTIONAL = 6, 12, 20, 24
# Places in the optional header.
_SECTION_ALIGNMENT, _FILE_ALIGNMENT, _IMAGE_SIZE, _HEADERS_SIZE, _CHECKSUM = 32, 36, 56, 60, 64


@dataclass(frozen=True, slots=True)
class SigningPair:
    """Whose signature the firmware takes: a private key and its certificate, both as PEM files."""

    key: Path
    certificate: Path


def unified(stub: bytes, sections: Mapping[str, bytes]) -> bytes:
    """`stub`, a PE file, with sections added in this order. Raises ImagebuilderError for one that has no room."""
    image = bytearray(stub)
    if image[:2] != b"MZ":
        raise ImagebuilderError("the stub is no PE file")
    start = _word(image, 0x3C)
    optional = start + _OPTIONAL
    (count,) = _ENTRY_SIZE.unpack_from(image, start + _SECTIONS)
    (optional_size,) = _ENTRY_SIZE.unpack_from(image, start + _OPTIONAL_SIZE)
    table = optional + optional_size
    if table + (count + len(sections)) * _SECTION.size > _word(image, optional + _HEADERS_SIZE):
        raise ImagebuilderError(f"the stub has no room for {len(sections)} sections more")
    alignment, file_alignment = (_word(image, optional + place) for place in (_SECTION_ALIGNMENT, _FILE_ALIGNMENT))
    headers = [_SECTION.unpack_from(image, table + number * _SECTION.size) for number in range(count)]
    address = max(header[2] + header[1] for header in headers)
    # Behind the sections are symbols for debuggers: signatures want no gaps.
    del image[max(header[4] + header[3] for header in headers) :]
    image[start + _SYMBOLS : start + _OPTIONAL_SIZE] = bytes(_OPTIONAL_SIZE - _SYMBOLS)
    for number, (name, data) in enumerate(sections.items(), count):
        address = _aligned(address, alignment)
        image += bytes(_aligned(len(image), file_alignment) - len(image))
        padded = data + bytes(_aligned(len(data), file_alignment) - len(data))
        header = (name.encode(), len(data), address, len(padded), len(image), 0, 0, 0, 0, _READ_DATA)
        _SECTION.pack_into(image, table + number * _SECTION.size, *header)
        image += padded
        address += len(data)
    _ENTRY_SIZE.pack_into(image, start + _SECTIONS, count + len(sections))
    _WORD.pack_into(image, optional + _IMAGE_SIZE, _aligned(address, alignment))
    _WORD.pack_into(image, optional + _CHECKSUM, 0)  # firmware does not look at it
    return bytes(image)


def write_uki(kernel: Path, initrd: Path, command_line: str, pair: SigningPair, output: Path) -> None:
    """Write a signed unified kernel image. Raises MissingToolError, and CommandError for keys that do not sign."""
    tools.require(tools.needed_by("uki"))
    parts = {".cmdline": command_line.encode(), ".initrd": initrd.read_bytes(), ".linux": kernel.read_bytes()}
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
        plain, signed = Path(folder, "plain"), Path(folder, "signed")
        plain.write_bytes(unified(STUB.read_bytes(), parts))
        argv = ("sbsign", "--key", str(pair.key.resolve()), "--cert", str(pair.certificate.resolve()))
        command.run(Command((*argv, "--output", str(signed), str(plain))))
        signed.replace(output)


def _word(image: bytearray, place: int) -> int:
    (value,) = _WORD.unpack_from(image, place)
    return int(value)


def _aligned(number: int, alignment: int) -> int:
    return -(-number // alignment) * alignment
