"""An overlay: the upperdir that a provisioner left, as an archive that any initrd unpacks over the base.

The upperdir is read, never piped blindly: an opaque directory becomes explicit
whiteouts of what the layers below have there, because an archive cannot carry
the mark; build-time leftovers are dropped; what a cpio archive cannot carry at
all (file capabilities, ACLs) is named in a note.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps import cpio
from imagebuilder.steps.base import Inputs, Step

# Linux Documentation/filesystems/overlayfs.rst: `user.` where the overlay was mounted in a user namespace.
_OWN_XATTRS = ("trusted.overlay.", "user.overlay.")
_REFERENCES = ("redirect", "metacopy")
_COMPRESSORS = {
    "cpio.gz": ("pigz", "-9", "-n", "--suffix", ".packed"),
    "cpio.zst": ("zstd", "-19", "-q", "--rm"),
}


@dataclass(frozen=True, slots=True)
class PackOverlay(Step):
    """The input `upper` (bottom layer first) packed, to be unpacked over the input `lower`."""

    kind: ClassVar[str] = "overlay"

    format: str
    epoch: int

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the archive. Raises ImagebuilderError for what an overlay cannot hold."""
        (upper,) = inputs["upper"]
        for path, names in _lost_attributes(upper):
            machine.note(f"{path} loses {', '.join(names)}: a cpio archive cannot carry it")
        sources = cpio.scan(upper, clamp=self.epoch)
        with machine.overlay(inputs["lower"]) as below:
            hidden = list(_opaque_whiteouts(upper, below, self.epoch))
        members = sorted(_without_sockets([*sources, *hidden]), key=lambda source: _sort_key(source.member.name))
        packed = machine.scratch() / "overlay"
        with packed.open("wb") as archive:
            cpio.write(cpio.number(members), archive)
        machine.progress("compressing", packed.stat().st_size)
        machine.run(Command((*_COMPRESSORS[self.format], str(packed))))
        (result,) = packed.parent.iterdir()
        shutil.move(result, output)


def _sort_key(name: bytes) -> tuple[bool, bytes]:
    return (name != b".", name)


def _without_sockets(sources: Iterable[cpio.Source]) -> Iterator[cpio.Source]:
    """A socket in an image is a daemon's leftover: nobody listens on it."""
    return (source for source in sources if not stat.S_ISSOCK(source.member.mode))


def _opaque_whiteouts(upper: Path, below: Path, epoch: int) -> Iterator[cpio.Source]:
    """For each opaque directory of `upper`: whiteouts of what `below` has there and `upper` has not."""
    for folder, _, _ in os.walk(upper):
        if not _is_opaque(folder):
            continue
        for hidden in _names_to_hide(Path(folder), below / Path(folder).relative_to(upper)):
            name = os.fsencode(hidden.relative_to(below))
            yield cpio.Source(cpio.Member(name, mode=stat.S_IFCHR, mtime=epoch))


def _names_to_hide(upper: Path, below: Path) -> Iterator[Path]:
    """What an opaque `upper` hides of `below`, as deep as both are directories."""
    if not below.is_dir() or below.is_symlink():
        return
    for entry in sorted(below.iterdir()):
        mine = upper / entry.name
        if not os.path.lexists(mine):
            yield entry
        elif _is_folder(mine) and _is_folder(entry) and not _is_opaque(mine):
            yield from _names_to_hide(mine, entry)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _lost_attributes(upper: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """The paths with extended attributes that newc has no place for, and their names."""
    for folder, folders, files in os.walk(upper):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            lost = [key for key in os.listxattr(path, follow_symlinks=False) if not key.startswith(_OWN_XATTRS)]
            if any(_attribute(path, f"{own}{name}") is not None for own in _OWN_XATTRS for name in _REFERENCES):
                raise ImagebuilderError(f"{path} exists only as a reference to another path of the overlay")
            if lost:
                yield f"/{os.path.relpath(path, upper)}", lost


def _is_opaque(path: str | Path) -> bool:
    return any(_attribute(path, f"{own}opaque") == b"y" for own in _OWN_XATTRS)


def _attribute(path: str | Path, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None
