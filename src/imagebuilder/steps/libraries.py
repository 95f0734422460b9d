"""Programs with all the libraries that they need, taken out of a root that may be of another machine's kind.

Nothing is run: what a program needs is read from its ELF headers and looked
up as ld.so(8) does, in the root's own folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from imagebuilder.errors import UserError
from imagebuilder.steps import elf

_MERGED = ("bin", "sbin", "lib", "lib64", "lib32")
_PROGRAM_FOLDERS = ("usr/bin", "usr/sbin", "bin", "sbin")
_LIBRARY_FOLDERS = ("usr/lib/*-linux-gnu*", "lib/*-linux-gnu*", "usr/lib", "lib", "usr/lib64", "lib64")
_LINK_LIMIT = 40


def closure(root: Path, programs: Iterable[str]) -> dict[PurePosixPath, Path]:
    """Where to put each program and library (relative, below a merged /usr) -> the file in `root` to put there.

    `programs` are names or absolute paths. Raises UserError for a program or library that is not there.
    """
    found: dict[PurePosixPath, Path] = {}
    waiting = [_program(root, name) for name in programs]
    while waiting:
        place = waiting.pop()
        if merged(place) not in found:
            found[merged(place)] = file = _file(root, place)
            waiting += _needs(root, place, file.read_bytes())
    return dict(sorted(found.items()))


def merged(place: PurePosixPath) -> PurePosixPath:
    """A relative path as it is where /bin, /sbin and /lib are links into /usr."""
    return PurePosixPath("usr", place) if place.parts[0] in _MERGED else place


def _program(root: Path, name: str) -> PurePosixPath:
    relative = name.lstrip("/")
    choices = [relative] if "/" in name else [f"{folder}/{name}" for folder in _PROGRAM_FOLDERS]
    for choice in choices:
        if _file(root, PurePosixPath(choice)).is_file():
            return PurePosixPath(choice)
    raise UserError(
        f"there is no program `{name}` to put into the initrd",
        hint="`include_packages:` of the initrd names the package that brings it",
    )


def _needs(root: Path, place: PurePosixPath, data: bytes) -> Iterator[PurePosixPath]:
    if not elf.is_elf(data):
        return
    linkage = elf.linkage(data)
    if linkage.interpreter:
        yield PurePosixPath(linkage.interpreter.lstrip("/"))
    own = [path.replace("$ORIGIN", f"/{place.parent}").lstrip("/") for path in linkage.search]
    for library in linkage.needed:
        yield _library(root, place, library, own)


def _library(root: Path, user: PurePosixPath, library: str, own: list[str]) -> PurePosixPath:
    shared = [path.relative_to(root) for pattern in _LIBRARY_FOLDERS for path in sorted(root.glob(pattern))]
    for folder in (*own, *shared):
        place = PurePosixPath(os.path.normpath(f"{folder}/{library}"))
        file = _inside(root, place)
        if file.is_file() and elf.is_elf(file.read_bytes()[:6]):
            return place
    raise UserError(
        f"`/{user}` needs the library `{library}`, which no package of the initrd brings",
        hint="`include_packages:` of the initrd names packages to take programs and libraries from",
    )


def _file(root: Path, place: PurePosixPath) -> Path:
    """The file of a path; newer suites bring /lib64/ld-linux and the like below /usr only."""
    file = _inside(root, place)
    return file if file.exists() else _inside(root, merged(place))


def _inside(root: Path, place: PurePosixPath) -> Path:
    """The file that a path means in `root`, links followed as a process with that root would."""
    todo = list(reversed(place.parts))
    current: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in ("/", ".", ".."):
            current = current[:-1] if part == ".." else [] if part == "/" else current
            continue
        path = root.joinpath(*current, part)
        if path.is_symlink() and links < _LINK_LIMIT:
            links += 1
            todo += reversed(PurePosixPath(os.readlink(path)).parts)
        else:
            current.append(part)
    return root.joinpath(*current)
