"""Garbage of a cache: what its store, its folders, its packages and its notes keep and nothing needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.failed import FailedSteps
from imagebuilder.resolve.deb import Deb
from imagebuilder.store.gc import Removal, find_unneeded, prune, remove
from imagebuilder.store.record import Record
from imagebuilder.store.trees import short_id

_DEB_FIELDS = frozenset(Deb.__slots__)


@dataclass(frozen=True, slots=True)
class Extent:
    """How far to go: how many manifests of each name's past stay, and whether packages go, too."""

    keep: int
    packages: bool


def collect(cache: Cache, extent: Extent, *, dry_run: bool) -> tuple[Removal, ...]:
    """Remove what nothing needs, or with `dry_run` only find it; returns what was, or would be, removed.

    Raises ImagebuilderError while a build runs, and when what is needed is not known.
    """
    with cache.emptied():
        index = prune(cache.layout, extent.keep, dry_run=dry_run)
        latest = [note.read_text() for note in cache.latest_files()]
        found = find_unneeded(cache.layout, cache.trees, index, latest, _below_failures(cache))
        removals = (*found.removals, *_notes(cache, found.records))
        if extent.packages:
            removals += tuple(_packages(cache, found.records.values()))
        if not dry_run:
            remove(removals, cache.trees)
    return removals


def _below_failures(cache: Cache) -> frozenset[str]:
    """The short ids of the steps whose folders a shell in a failed step needs."""
    inputs = (paths for failure in FailedSteps(cache.failed).all() for paths in failure.inputs.values())
    return frozenset(Path(path).parent.name for paths in inputs for path in paths)


def _notes(cache: Cache, records: dict[str, Record]) -> Iterator[Removal]:
    """Locks, which nobody holds now, and what was last done where that is half written or has no record any more."""
    for lock in cache.lock_files():
        yield Removal.of("note", lock)
    for note in cache.latest_files():
        if note.name.startswith(".") or short_id(note.read_text()) not in records:
            yield Removal.of("note", note)


def _packages(cache: Cache, records: Iterable[Record]) -> Iterator[Removal]:
    """Package files that no step which stays was made from."""
    needed = {deb.file_name for record in records for deb in _debs(record.step)}
    for path in cache.package_files():
        if path.name not in needed:
            yield Removal.of("package", path)


def _debs(identity: Any) -> Iterator[Deb]:
    """The packages that a step's identity names, wherever in it."""
    match identity:
        case dict() if identity.keys() == _DEB_FIELDS:
            yield Deb(**identity)
        case dict():
            for value in identity.values():
                yield from _debs(value)
        case list():
            for value in identity:
                yield from _debs(value)
