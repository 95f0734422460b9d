"""Root filesystems compared: everything that a program can see of two of them, and what of it differs."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

# Where the order of paragraphs or lines means nothing, and how they are parted.
_UNORDERED = {"var/lib/apt/extended_states": b"\n\n", "var/lib/dpkg/triggers/File": b"\n"}
_OVERLAY = ("trusted.overlay.", "user.overlay.")


@dataclass(frozen=True, slots=True)
class Entry:
    """A path of a tree.

    `parts` are the content's paragraphs or lines where their order means
    nothing; `time` is "" for folders, and "now" for what the build itself wrote.
    """

    mode: str
    owner: str
    device: str
    content: str
    parts: frozenset[bytes]
    names: tuple[str, ...]
    xattrs: tuple[tuple[str, bytes], ...]
    time: str


def read_tree(root: Path, began: float) -> Mapping[str, Entry]:
    """Every path below `root`. The time of what was written since `began` (seconds since 1970) says nothing."""
    names: dict[int, list[str]] = {}
    paths = sorted(os.path.relpath(os.path.join(f, n), root) for f, ds, fs in os.walk(root) for n in (*ds, *fs))
    for path in paths:
        names.setdefault((root / path).lstat().st_ino, []).append(path)
    return {path: _entry(root, path, names, began) for path in paths}


def _entry(root: Path, path: str, names: Mapping[int, list[str]], began: float) -> Entry:
    place = root / path
    status = place.lstat()
    kind = stat.S_IFMT(status.st_mode)
    content, parts = "", frozenset[bytes]()
    if kind == stat.S_IFREG:
        data = place.read_bytes()
        if parting := _UNORDERED.get(path):
            parts = frozenset(data.split(parting))
        else:
            content = hashlib.sha256(data).hexdigest()
    elif kind == stat.S_IFLNK:
        content = os.readlink(place)
    xattrs = {
        name: os.getxattr(place, name, follow_symlinks=False) for name in os.listxattr(place, follow_symlinks=False)
    }
    return Entry(
        mode=stat.filemode(status.st_mode),
        owner=f"{status.st_uid}:{status.st_gid}",
        device=str(status.st_rdev),
        content=content,
        parts=parts,
        names=tuple(names[status.st_ino]) if kind == stat.S_IFREG else (),
        xattrs=tuple(sorted((name, value) for name, value in xattrs.items() if not name.startswith(_OVERLAY))),
        time="" if kind == stat.S_IFDIR else "now" if status.st_mtime >= began else str(int(status.st_mtime)),
    )


def differences(ours: Mapping[str, Entry], theirs: Mapping[str, Entry]) -> Iterator[tuple[str, str]]:
    """(path, what differs): `ours` or `theirs` for what only one has, else the name of a field of `Entry`.

    Of `parts` each that differs is one of its own, with its first line behind the path.
    """
    for path in sorted(ours.keys() | theirs.keys()):
        if path not in theirs:
            yield path, "ours"
        elif path not in ours:
            yield path, "theirs"
        else:
            mine, other = ours[path], theirs[path]
            yield from ((f"{path}: {_head(part)}", "ours") for part in sorted(mine.parts - other.parts))
            yield from ((f"{path}: {_head(part)}", "theirs") for part in sorted(other.parts - mine.parts))
            for field in fields(Entry):
                if field.name != "parts" and getattr(mine, field.name) != getattr(other, field.name):
                    yield path, field.name


def _head(part: bytes) -> str:
    return part.split(b"\n")[0].decode()
