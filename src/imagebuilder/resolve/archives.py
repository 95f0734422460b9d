"""The .debs that all builds share: one folder, the file names that apt gives them, each checked before it is used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imagebuilder import digest
from imagebuilder.host.command import Command, run
from imagebuilder.resolve.deb import Deb


def is_whole(archives: Path, deb: Deb) -> bool:
    """Whether the package is there, and byte for byte what it should be."""
    path = archives / deb.file_name
    return path.is_file() and path.stat().st_size == deb.size and digest.of_file(path) == deb.sha256


def missing(archives: Path, debs: Iterable[Deb]) -> tuple[Deb, ...]:
    """Those that are not there. All files are hashed, at about 1 GB/s: call it for what is about to be read."""
    return tuple(deb for deb in debs if not is_whole(archives, deb))


def stanza(archives: Path, deb: Deb) -> str:
    """The record that an index has for a package, made from the file; `Filename` leads nowhere."""
    control = run(Command(("dpkg-deb", "--field", str(archives / deb.file_name)))).stdout.rstrip("\n")
    return f"{control}\nFilename: held/{deb.file_name}\nSize: {deb.size}\nSHA256: {deb.sha256}\n\n"
