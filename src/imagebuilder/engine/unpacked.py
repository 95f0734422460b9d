"""Artifacts that lie anywhere, read into entries. Needs neither root nor the cache that they were built in."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from imagebuilder.errors import CommandError, ImagebuilderError, UserError
from imagebuilder.host.command import Command, output_of
from imagebuilder.steps import unpack
from imagebuilder.steps.unpack import Unpacked

_Reader = Callable[[IO[bytes], Path], Unpacked]
_FORMS: tuple[tuple[bytes, tuple[str, ...], _Reader], ...] = (
    (b"\x1f\x8b", ("pigz", "-d", "-c"), unpack.from_cpio),
    (b"\x28\xb5\x2f\xfd", ("zstd", "-d", "-c", "-q"), unpack.from_cpio),
    (b"\xfd7zXZ", ("xz", "-d", "-c"), unpack.from_cpio),
    (b"hsqs", ("sqfs2tar", "--no-skip", "--root-becomes", "."), unpack.from_tar),
    (b"07070", ("cat",), unpack.from_cpio),
)
"""By how a file begins what gives its archive, and who reads that."""


def is_archive(file: Path) -> bool:
    """Whether it begins like one of those that can be read."""
    return _form(file) is not None


@contextmanager
def opened(file: Path, beside: Path | None = None) -> Iterator[Unpacked]:
    """What a cpio archive, compressed or not, or a squashfs holds; contents are there during the block.

    They lie in the folder `beside`, by default where temporary files do.

    Raises UserError for a file that is none of these, is cut short or damaged.
    """
    if not file.is_file():
        raise UserError(f"there is no file `{file}`")
    form = _form(file)
    if not form:
        raise UserError(f"{file} is neither a cpio archive nor a squashfs", hint="overlays, bases and initrds are")
    argv, read = form
    with tempfile.TemporaryDirectory(prefix="imagebuilder-", dir=beside) as folder:
        try:
            with output_of(Command((*argv, str(file.absolute())))) as stream:
                found = read(stream, Path(folder))
        except CommandError as error:
            said = (error.detail.strip().splitlines() or [error.message])[-1]
            raise UserError(f"{file} is damaged: {said}", hint="fetch or build it again") from None
        except ImagebuilderError as error:
            raise UserError(f"{file} is damaged: {error.message}", hint=error.hint) from None
        yield found


def _form(file: Path) -> tuple[tuple[str, ...], _Reader] | None:
    with file.open("rb") as reader:
        head = reader.read(8)
    return next(((argv, read) for magic, argv, read in _FORMS if head.startswith(magic)), None)
