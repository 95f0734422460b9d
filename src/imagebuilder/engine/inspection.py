"""What an artifact holds and what it does to the layers below: counted, weighed, compared."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from imagebuilder.engine.keeping import footing_of as kept_footing
from imagebuilder.engine.parts import Part, read_parts
from imagebuilder.engine.unpacked import opened
from imagebuilder.steps.footing import Footing, footing_of
from imagebuilder.steps.layer import Entry, bytes_of
from imagebuilder.steps.view import WHITEOUT, View, stacked, view_of
from imagebuilder.store.layout import Layout

NO_PACKAGE = "(no package)"
_INFO = "/var/lib/dpkg/info/"
_LIST = ".list"
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What of the layers below an overlay replaces, by other content or attributes, and what it deletes."""

    replaced: tuple[str, ...]
    deleted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """The bytes of regular files, as they are unpacked: all, by package and by folder, the heaviest first."""

    total: int
    packages: Mapping[str, int]
    folders: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """An entry for people and programs: `what` is as `steps.view` says it, `size` counts a linked file once."""

    path: str
    what: str
    size: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that is to be said of an artifact of `size` bytes; without knowing what it was made on, less."""

    part: Part
    size: int
    kinds: Mapping[str, int]
    lines: tuple[Line, ...]
    weights: Weights
    footing: Footing | None
    shadowed: Shadowed | None


def inspect(layout: Layout, artifact: str, base: str | None) -> Inspection:
    """Inspect a file, or the top layer of an image in the store; `base` names what it was made on.

    Without it that is what the store knows, else the layers below it in its image.
    Raises UserError for what is not there, or is no layer.
    """
    *others, part = read_parts(layout, artifact)
    below = [other for other in (read_parts(layout, base) if base else others) if base or other.is_of_root]
    with ExitStack() as stack:
        found = stack.enter_context(opened(part.file))
        entries, view = found.entries, view_of(found.entries, found.changes)
        lower = [_layer(stack, other) for other in below]
        footing = None if base else kept_footing(layout, part.sha256, found)
        if lower and not footing:
            footing = footing_of(tuple(other.sha256 for other in below), view, stacked(other for _, other in lower))
        return Inspection(
            part=part,
            size=part.file.stat().st_size,
            kinds=kinds_of(entries),
            lines=tuple(Line(entry.path, view.paths[entry.path], entry.member.size) for entry in entries),
            weights=weights_of(entries, [entry for layer, _ in lower for entry in layer]),
            footing=footing,
            shadowed=shadowed_by(view, footing) if footing else None,
        )


def _layer(stack: ExitStack, part: Part) -> tuple[list[Entry], View]:
    found = stack.enter_context(opened(part.file))
    return found.entries, view_of(found.entries, found.changes)


def kinds_of(entries: Sequence[Entry]) -> dict[str, int]:
    """How many entries of each kind there are."""
    return dict(sorted(Counter(entry.kind for entry in entries).items()))


def weights_of(entries: Sequence[Entry], below: Sequence[Entry] = ()) -> Weights:
    """Weigh a layer; `below` may hold dpkg's lists of who owns what, if the layer does not."""
    owner = owners(below) | owners(entries)
    packages: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    for entry in entries:
        if entry.kind == "file" and entry.member.size:
            packages[owner_of(entry.path, owner)] += entry.member.size
            folders[_folder(entry.path)] += entry.member.size
    return Weights(packages.total(), dict(packages.most_common()), dict(folders.most_common()))


def owners(entries: Sequence[Entry]) -> dict[str, str]:
    """By path the package whose list in dpkg's database names it."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry.path.startswith(_INFO) and entry.path.endswith(_LIST) and entry.kind == "file":
            package = entry.path.removeprefix(_INFO).removesuffix(_LIST).partition(":")[0]
            found |= dict.fromkeys(os.fsdecode(bytes_of(entry)).splitlines(), package)
    return found


def owner_of(path: str, owner: Mapping[str, str]) -> str:
    """The package of a path, also where dpkg knows it by its name before /usr was merged."""
    if path.startswith(_INFO):  # its own files in dpkg's database: NAME.md5sums, NAME:ARCH.list
        return os.path.splitext(path.removeprefix(_INFO))[0].partition(":")[0]
    return owner.get(path) or owner.get(path.removeprefix("/usr")) or NO_PACKAGE


def shadowed_by(view: View, footing: Footing) -> Shadowed:
    """What an overlay replaces and deletes of what it was made on, by path."""
    below = footing.shadows
    other = [path for path, line in view.paths.items() if path in below and line != below[path]]
    return Shadowed(
        tuple(path for path in other if view.paths[path] != WHITEOUT),
        tuple(path for path in other if view.paths[path] == WHITEOUT),
    )


def _folder(path: str) -> str:
    """The folder that a file is counted in: no deeper than three names."""
    return "/".join(path.split("/")[:-1][: _DEPTH + 1]) or "/"
