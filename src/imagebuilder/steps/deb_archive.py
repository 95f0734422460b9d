"""Debian packages as files: deb(5).

    ar archive
      debian-binary
      control.tar[.gz|.xz|.zst]    control fields, maintainer scripts, checksums
      data.tar[.gz|.xz|.zst]       the files, named `./usr/bin/less`

What Python's own library decompresses is read in this process (it lets other
threads run meanwhile); for the rest, and for large packages, dpkg-deb reads:
it decompresses on all cores what was compressed in blocks.
"""

from __future__ import annotations

import fcntl
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import Command, spawn

_MAGIC = b"!<arch>\n"
_HEADER = 60
_LARGE = 8 << 20
_BUFFER = 256 << 10
_PIPE = 1 << 20
_MODES: Mapping[str, Literal["r|", "r|gz", "r|xz"]] = {"": "r|", ".gz": "r|gz", ".xz": "r|xz"}


@dataclass(frozen=True, slots=True)
class ControlFile:
    """A member of control.tar: its content, permissions and time."""

    content: bytes
    mode: int
    mtime: int


def read_control(deb: Path) -> Mapping[str, ControlFile]:
    """The members of control.tar by name (`control`, `postinst`, ...). Raises ImagebuilderError for what is no .deb."""
    found = {}
    with _tar(deb, "control.tar", "--ctrl-tarfile") as tar:
        for member in tar:
            if file := tar.extractfile(member):
                found[member.name.removeprefix("./")] = ControlFile(file.read(), member.mode, int(member.mtime))
    return found


@contextmanager
def open_data(deb: Path) -> Iterator[tarfile.TarFile]:
    """data.tar, to be read once from its beginning to its end. Raises ImagebuilderError, as `read_control`."""
    with _tar(deb, "data.tar", "--fsys-tarfile") as tar:
        yield tar


@contextmanager
def _tar(deb: Path, stem: str, option: str) -> Iterator[tarfile.TarFile]:
    with deb.open("rb") as file:
        name, size = _seek(file, deb, stem)
        mode = _MODES.get(name.removeprefix(stem))
        try:
            if mode and size < _LARGE:
                with tarfile.open(fileobj=io.BytesIO(file.read(size)), mode=mode, bufsize=_BUFFER) as tar:
                    yield tar
            else:
                with _piped(deb, option) as pipe, tarfile.open(fileobj=pipe, mode="r|", bufsize=_BUFFER) as tar:
                    yield tar
        except (tarfile.TarError, lzma.LZMAError, zlib.error, EOFError) as error:
            raise ImagebuilderError(f"{deb.name} is damaged: {error}") from error


@contextmanager
def _piped(deb: Path, option: str) -> Iterator[IO[bytes]]:
    """What dpkg-deb makes of a package's member. Raises ImagebuilderError when it fails."""
    with spawn(Command(("dpkg-deb", option, str(deb)))) as process:
        assert process.stdout is not None
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE)
        yield process.stdout
        while process.stdout.read(_BUFFER):  # what stands behind the archive's end
            pass
    if process.returncode:
        raise ImagebuilderError(f"{deb.name} is damaged: dpkg-deb cannot read it")


def _seek(file: IO[bytes], deb: Path, stem: str) -> tuple[str, int]:
    """Go to the content of the ar member that begins with `stem`; returns its whole name and its size."""
    if file.read(len(_MAGIC)) == _MAGIC:
        while len(header := file.read(_HEADER)) == _HEADER:
            name, size = header[:16].decode().rstrip(" ").rstrip("/"), int(header[48:58])
            if name.startswith(stem):
                return name, size
            file.seek(size + size % 2, 1)
    raise ImagebuilderError(f"{deb.name} is no Debian package: it has no {stem}")
