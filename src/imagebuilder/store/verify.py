"""Is a store what it says? Every blob is hashed; then all that names blobs is followed.

A damaged blob is set aside: it is served to nobody, and as the steps that made
it count as not done, the next build makes it again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from imagebuilder import digest
from imagebuilder.events import Report
from imagebuilder.store.actions import Actions
from imagebuilder.store.index import Index, read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.meter import Meter
from imagebuilder.store.needs import parts

Fetch = Callable[[Blob, bool], bool]
"""Brings a blob into the store, a manifest when the second argument says so; whether it could be had."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What was wrong: with a blob (`damaged`, `missing`) or with the `record` of a step.

    `name` is the blob's digest or the step's id, `needed_by` are names of
    manifests; `done` says what became of it, and `mended` whether all is well.
    """

    what: str
    name: str
    needed_by: tuple[str, ...]
    done: str
    mended: bool = False


def verify(layout: Layout, report: Report, fetch: Fetch | None = None) -> tuple[Fault, ...]:
    """Look at everything, set aside what is damaged, and fetch what is missing if `fetch` is given.

    To be called while the store is in use. Raises ImagebuilderError when the index cannot be read.
    """
    damaged = _set_damaged_aside(layout, report)
    index = read_index(layout)
    needed_by: dict[str, tuple[str, ...]] = {}
    fetched: set[str] = set()
    # A manifest that is fetched may name more that is missing.
    while new := {found: names for found, names in _missing(layout, index).items() if found[0].sha256 not in needed_by}:
        for (blob, is_manifest), names in new.items():
            needed_by[blob.sha256] = names
            if fetch and fetch(blob, is_manifest):
                fetched.add(blob.sha256)
    faults = [_blob_fault("damaged", sha256, needed_by.pop(sha256, ()), fetched) for sha256 in damaged]
    faults += [_blob_fault("missing", sha256, names, fetched) for sha256, names in needed_by.items()]
    return (*faults, *_forget_false_records(layout, damaged))


def _set_damaged_aside(layout: Layout, report: Report) -> list[str]:
    """Hash every blob, several at a time; returns the digests of those that are set aside."""
    blobs = sorted(layout.all_blobs(), key=lambda blob: blob.sha256)
    meter, done = Meter("verify", sum(blob.size for blob in blobs), report), 0
    damaged: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for blob, is_whole in zip(blobs, pool.map(lambda blob: _is_whole(layout, blob), blobs), strict=True):
            meter.show(done := done + blob.size)
            if not is_whole:
                layout.set_aside(blob.sha256)
                damaged.append(blob.sha256)
    return damaged


def _is_whole(layout: Layout, blob: Blob) -> bool:
    try:
        return digest.of_file(layout.path(blob.sha256)) == blob.sha256
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False  # the disk itself says so


def _missing(layout: Layout, index: Index) -> dict[tuple[Blob, bool], tuple[str, ...]]:
    """The blobs that should be here and are not, each with whether it is a manifest, and the names that need it."""
    found: dict[tuple[Blob, bool], tuple[str, ...]] = {}
    for name, manifest in _roots(index):
        for missing in _missing_below(layout, manifest, is_manifest=True):
            found[missing] = tuple(dict.fromkeys((*found.get(missing, ()), name)))
    return found


def _roots(index: Index) -> Iterator[tuple[str, Blob]]:
    yield from index.names.items()
    yield from ((f"{former.name}, before", former.manifest) for former in index.past)
    yield from ((f"{entry.get('artifactType') or 'another program'}", blob) for entry, blob in index.foreign_blobs())


def _missing_below(layout: Layout, blob: Blob, *, is_manifest: bool) -> Iterator[tuple[Blob, bool]]:
    """A blob, if it is not here, and what is not here of all that it names; with whether each is a manifest."""
    if not layout.has(blob.sha256):
        yield blob, is_manifest
    elif is_manifest:
        for part, part_is_manifest in parts(layout.read(blob.sha256)):
            yield from _missing_below(layout, part, is_manifest=part_is_manifest)


def _blob_fault(what: str, sha256: str, names: tuple[str, ...], fetched: set[str]) -> Fault:
    if sha256 in fetched:
        return Fault(what, f"sha256:{sha256}", names, "fetched", mended=True)
    return Fault(what, f"sha256:{sha256}", names, "set aside" if what == "damaged" else "")


def _forget_false_records(layout: Layout, damaged: list[str]) -> Iterator[Fault]:
    """Records that cannot be read, or whose blobs are not here, do no harm; but they tell of one."""
    actions = Actions(layout)
    known = dict(actions.all())
    for path in actions.files():
        record = known.get(path.name)
        if record is None or not layout.has(record.sha256):
            actions.forget(path.name)
            if record is None or record.sha256 not in damaged:
                yield Fault("record", path.name, (record.name,) if record else (), "forgotten")
