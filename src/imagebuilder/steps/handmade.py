"""An overlay that was made by hand, in a shell or on a node: what of it is kept, and how a config file says it."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

from imagebuilder.errors import UserError
from imagebuilder.steps import cpio
from imagebuilder.steps.databases import is_database
from imagebuilder.steps.footing import Footing
from imagebuilder.steps.layer import Entry
from imagebuilder.steps.view import FOLDER, folders_above, view_of

_LISTS = tuple(Path(__file__).with_name(name) for name in ("volatile.txt", "clean.txt"))
_OF_PACKAGES = ("/var/lib/dpkg", "/var/lib/apt")
_HEAD = """\
# What was done by hand on `{base}`, as far as a config file can say it. Look through it: what programs did
# for others (users that packages made, caches) is left to the packages.
"""


def kept(entries: Sequence[Entry], below: Mapping[str, str]) -> list[Entry]:
    """The entries, numbered, without volatile paths, and without folders that are as `below` and hold nothing more.

    A database that is as `below` is left out, too: where layers are stacked, the initrd writes it, and nobody else.
    Raises UserError for a device: what stands for hardware is no part of an image.
    """
    patterns = tuple(volatile_patterns())
    stay = [entry for entry in entries if not _is_volatile(entry.path, patterns)]
    if device := next((entry for entry in stay if entry.kind == "device"), None):
        raise UserError(
            f"{device.path} is a device node, which no overlay should bring",
            hint="remove it; udev makes devices on every node",
        )
    lines = view_of(entries).paths
    needed = {"/"}
    for entry in stay:
        is_written_here = entry.kind != FOLDER and not (is_database(entry.path[1:]) and entry.member.links == 1)
        if is_written_here or below.get(entry.path) != lines[entry.path]:
            needed |= {entry.path, *folders_above(entry.path)}
    return cpio.number(_as_before(entry, entries) for entry in stay if entry.path in needed)


def volatile_patterns() -> Iterator[str]:
    """Glob patterns of absolute paths that no overlay made by hand has, each with all that is below it."""
    for path in _LISTS:
        for line in path.read_text(encoding="utf-8").splitlines():
            if text := line.partition("#")[0].strip():
                yield text


def _is_volatile(path: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(place, pattern) for place in (path, *folders_above(path)) for pattern in patterns)


def _as_before(entry: Entry, entries: Sequence[Entry]) -> Entry:
    """An entry as `number` takes it: a linked file has a number of its own, and its content at every name."""
    if entry.kind != "file" or entry.member.links == 1:
        return replace(entry, member=replace(entry.member, inode=0))
    whole = next(e for e in reversed(entries) if e.member.inode == entry.member.inode)
    return replace(entry, member=replace(entry.member, size=whole.member.size), content=whole.content)


@dataclass(frozen=True, slots=True)
class Config:
    """A config file's text, and the files that it copies, by their place in the image tree."""

    text: str
    files: Mapping[str, Entry]


def config_of(name: str, base: str, entries: Sequence[Entry], footing: Footing, owned: Collection[str]) -> Config:
    """The overlay `entries`, made on the image `base`, as a config file.

    `owned` are the paths of packages that it brings, replaces or removes: installing these says enough.
    """
    packages = [c.name if not c.old else f"{c.name}={c.new}" for c in footing.packages if c.new]
    removed = [c.name for c in footing.packages if not c.new]
    run = [f"dpkg --purge {' '.join(removed)}"] if removed else []
    files: list[dict[str, Any]] = []
    copied: dict[str, Entry] = {}
    unsaid: list[str] = []
    for entry in _of_nobody(entries, owned):
        member, path = entry.member, entry.path
        match entry.kind:
            case "file":
                place = f"files/{name}{path}"
                copied[place] = entry
                owner = {} if member.uid == member.gid == 0 else {"owner": str(member.uid), "group": str(member.gid)}
                files.append({"src": place, "dest": path, "mode": f"{stat.S_IMODE(member.mode):04o}", **owner})
            case "symlink":
                assert isinstance(entry.content, bytes)
                run.append(shlex.join(("ln", "-sfn", os.fsdecode(entry.content), path)))
            case "whiteout":
                run.append(shlex.join(("rm", "-rf", path)))
            case "folder" if footing.shadows.get(path, "").partition(" ")[0] != FOLDER:
                run.append(shlex.join(("install", "-d", "-m", f"{stat.S_IMODE(member.mode):04o}", path)))
            case _:
                unsaid.append(path)
        if entry.xattrs:
            unsaid.append(path)
    image: dict[str, Any] = {"base": base}
    image |= {key: value for key, value in (("packages", packages), ("files", files), ("run", run)) if value}
    text = _HEAD.format(base=base) + yaml.safe_dump({"image": image}, sort_keys=False, allow_unicode=True, width=110)
    return Config(text + "".join(f"# not said here: all about {path}\n" for path in dict.fromkeys(unsaid)), copied)


def _of_nobody(entries: Sequence[Entry], owned: Collection[str]) -> Iterator[Entry]:
    """What no package accounts for, without folders that only lead there."""
    contents = {entry.member.inode: entry for entry in entries if entry.member.size}
    leading = {folder for entry in entries for folder in folders_above(entry.path)}
    for entry in entries:
        path = entry.path
        is_known = path in owned or path.removeprefix("/usr") in owned or is_database(path[1:])
        is_of_tools = any(place in _OF_PACKAGES for place in (path, *folders_above(path)))
        if not is_known and not is_of_tools and path != "/" and not (entry.kind == FOLDER and path in leading):
            whole = contents.get(entry.member.inode, entry)
            yield replace(entry, content=whole.content) if entry.kind == "file" else entry
