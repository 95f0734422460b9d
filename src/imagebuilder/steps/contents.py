"""What an overlay unpacks to on a node: how much RAM it takes, and which of its files may do more than others.

A manifest says it in annotations of the layer, which the initrd reads (manifest.awk):

    on-imagebuilder.unpacked   bytes that its files take in RAM
    on-imagebuilder.special    paths, separated by spaces (others as %20), of files that are setuid or setgid,
                               of device nodes, and of files with extended attributes, capabilities among them
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar
from urllib.parse import quote

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step

if TYPE_CHECKING:
    from imagebuilder.steps.cpio import Member

_READERS = {"cpio.gz": ("pigz", "-d", "-c"), "cpio.zst": ("zstd", "-d", "-c", "-q")}
_PAGE = 4096
_PLAIN = "/_.+~=:@-,"  # what stands in a list of paths as it is
_LONGEST = 60_000  # characters of such a list that nodes read


@dataclass(frozen=True, slots=True)
class Contents:
    """What an overlay unpacks to: `unpacked` bytes of RAM, and the paths of its `special` files."""

    unpacked: int
    special: tuple[str, ...]

    @property
    def notes(self) -> tuple[tuple[str, str], ...]:
        """As annotations. Raises ImagebuilderError for a list that nodes would not read."""
        special = " ".join(quote(path, safe=_PLAIN, errors="surrogateescape") for path in self.special)
        if len(special) > _LONGEST:
            raise ImagebuilderError(
                f"{len(self.special)} files are setuid or have extended attributes: more than a manifest can list",
                hint="take the attributes off in `run:`, or use `format: squashfs`",
            )
        return (("on-imagebuilder.unpacked", str(self.unpacked)), ("on-imagebuilder.special", special))


@dataclass(frozen=True, slots=True)
class ListContents(Step):
    """What manifests say of the overlay `packed`, an archive of the format `form`."""

    kind: ClassVar[str] = "contents"
    version: ClassVar[int] = 2

    form: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write it as JSON."""
        (packed,) = inputs["packed"]
        archive = machine.scratch() / "archive"
        with packed.open("rb") as file, machine.feed(Command(_READERS[self.form]), archive) as stream:
            shutil.copyfileobj(file, stream)
        with archive.open("rb") as file:
            output.write_text(json.dumps(contents_of(file).notes))


def read_notes(text: str | bytes) -> tuple[tuple[str, str], ...]:
    """The annotations that a step wrote."""
    return tuple((key, note) for key, note in json.loads(text))


def contents_of(archive: IO[bytes]) -> Contents:
    """What a newc archive unpacks to. Raises ImagebuilderError for one that is cut or damaged.

    A tmpfs gives each file whole pages.
    """
    from imagebuilder.steps import cpio, erofs  # late, for planning needs none of it
    from imagebuilder.steps.sidecar import ATTRIBUTES

    unpacked = 0
    special: set[bytes] = set()
    folders: set[bytes] = set()
    for member, content in cpio.read(archive):
        if stat.S_ISREG(member.mode):
            unpacked += -(-member.size // _PAGE) * _PAGE
        special |= {member.name} if _is_special(member) else set()
        folders |= {member.name} if stat.S_ISDIR(member.mode) else set()
        if member.name == ATTRIBUTES:
            special |= erofs.read_attributes(content.read()).keys()
    return Contents(unpacked, tuple(_paths(special - folders)))


def _is_special(member: Member) -> bool:
    """Whether it is setuid or setgid, or a device node. (0:0 is a whiteout.)"""
    if stat.S_ISREG(member.mode):
        return bool(member.mode & (stat.S_ISUID | stat.S_ISGID))
    return stat.S_ISBLK(member.mode) or (stat.S_ISCHR(member.mode) and member.device != (0, 0))


def _paths(names: set[bytes]) -> Iterator[str]:
    yield from (f"/{os.fsdecode(name)}" for name in sorted(names))
