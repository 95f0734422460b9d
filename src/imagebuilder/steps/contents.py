"""What an overlay unpacks to on a node: how much RAM it takes, and which of its files may do more than others."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, ClassVar

from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.store.manifest import Contents

if TYPE_CHECKING:
    from imagebuilder.steps.cpio import Member

_READERS = {"cpio.gz": ("pigz", "-d", "-c"), "cpio.zst": ("zstd", "-d", "-c", "-q")}
_PAGE = 4096


@dataclass(frozen=True, slots=True)
class ListContents(Step):
    """What the overlay `packed`, an archive of the format `form`, says of itself in a manifest."""

    kind: ClassVar[str] = "contents"

    form: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write it as JSON."""
        (packed,) = inputs["packed"]
        archive = machine.scratch() / "archive"
        with packed.open("rb") as file, machine.feed(Command(_READERS[self.form]), archive) as stream:
            shutil.copyfileobj(file, stream)
        with archive.open("rb") as file:
            output.write_text(json.dumps(asdict(contents_of(file))))


def read_contents(text: str | bytes) -> Contents:
    """What `ListContents` wrote."""
    value = json.loads(text)
    return Contents(value["unpacked"], tuple(value["special"]))


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
