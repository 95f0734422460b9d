"""Layers stacked into one: their entries as if the kernel had mounted them one above the other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from imagebuilder.steps import cpio
from imagebuilder.steps.layer import Entry, folders_of

OPAQUE = ("trusted.overlay.opaque", b"y")
"""The kernel's mark on a folder that hides the one below it."""
_INODES = 1 << 32

Layer = tuple[Sequence[Entry], frozenset[bytes] | None]
"""Sorted entries, and the names of those that are below as well; None where that is not known."""


def stacked(layers: Sequence[Layer]) -> tuple[list[Entry], frozenset[bytes]]:
    """One layer of several, bottom first: its entries, and which of their names are below it as well.

    A folder in whose place a lower layer hides or replaces something is marked
    where that is not known to be nothing: which names it has to hide, no layer knows.
    """
    found: dict[bytes, Entry] = {}
    is_below: dict[bytes, bool] = {}  # all of them, as the lowest layer that has the name says
    for number, (entries, replaces) in enumerate(layers):
        cut = {entry.name for entry in entries if entry.kind != "folder" or OPAQUE in entry.xattrs}
        kept = {name: entry for name, entry in found.items() if not _is_inside(name, cut)}
        for entry in entries:
            name = entry.name
            is_below.setdefault(name, entry.kind == "whiteout" or replaces is None or name in replaces)
            moved = replace(entry, member=replace(entry.member, inode=entry.member.inode + number * _INODES))
            kept[name] = _over(found.get(name), moved) if is_below[name] else moved
        found = kept
    marked = {name for name, entry in found.items() if OPAQUE in entry.xattrs}
    needless = {name for name in found if not is_below[name] or _is_inside(name, marked)}
    entries = [entry for name, entry in found.items() if entry.kind != "whiteout" or name not in needless]
    replaces = frozenset(entry.name for entry in entries if is_below[entry.name] and entry.kind != "whiteout")
    return cpio.number(entries), replaces


def opaque(entries: Sequence[Entry]) -> list[Entry]:
    """The folders that are marked."""
    return [entry for entry in entries if OPAQUE in entry.xattrs]


def _over(below: Entry | None, entry: Entry) -> Entry:
    if below is None or entry.kind != "folder" or OPAQUE in entry.xattrs:
        return entry
    hides = below.kind != "folder" or OPAQUE in below.xattrs
    return replace(entry, xattrs=tuple(sorted((*entry.xattrs, OPAQUE)))) if hides else entry


def _is_inside(name: bytes, folders: set[bytes]) -> bool:
    return not folders.isdisjoint(folders_of(name))
