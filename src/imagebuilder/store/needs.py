"""What has to stay in a store: which blobs the entries of its index need, and which steps made them.

Needed blobs are the manifests of the index, all parts that they name, and what
is attached to them. Needed steps are those that made the blobs of what names
stand for now, and all that these steps read: their folders are what the next
build starts from; and what was last made of these besides (lists of packages).
What a name once stood for needs no folders: to come back it is not built.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from imagebuilder.store.index import Index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import blob_of
from imagebuilder.store.record import Record
from imagebuilder.store.referrers import all_referrers
from imagebuilder.store.trees import short_id

_WITH_PARTS = ("config", "layers", "manifests")


def named_blobs(layout: Layout, index: Index) -> frozenset[str]:
    """The digests of all that names stand for now."""
    return frozenset(_closure(layout, index.names.values()))


def needed_blobs(layout: Layout, index: Index) -> frozenset[str]:
    """The digests of all blobs that the index needs. Raises ImagebuilderError when a manifest is damaged or missing."""
    about = [(subject.sha256, referrer.manifest) for subject, referrer in all_referrers(layout, index)]
    attached = {manifest.sha256 for _, manifest in about}
    foreign = [blob for _, blob in index.foreign_blobs() if blob.sha256 not in attached]
    needed = _closure(layout, [*index.names.values(), *(former.manifest for former in index.past), *foreign])
    # What is attached may have something attached to it (a signature of a list of packages).
    while more := [manifest for subject, manifest in about if subject in needed and manifest.sha256 not in needed]:
        needed |= _closure(layout, more)
    return frozenset(needed)


def needed_steps(
    records: Mapping[str, Record],
    blobs: frozenset[str],
    latest: frozenset[str],
    attached: frozenset[str] = frozenset(),
    wanted: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """The ids of the steps that made `blobs`, of those `wanted`, of all that these read, and some of `latest`.

    Of `latest` those stay that come down to these. What is `attached` to manifests
    stays whatever it was made from, so these may read it as well.

    A step of `latest` stays for its blob, never for a folder. All ids are short (`trees.short_id`); a step without a
    record is not there.
    """
    needed: set[str] = set()
    waiting = [step for step, record in records.items() if record.sha256 in blobs or step in wanted]
    while waiting:
        step = waiting.pop()
        if step in records and step not in needed:
            needed.add(step)
            waiting += _reads(records[step])
    made = {step: _reads(records[step]) for step in latest & records.keys() if records[step].sha256}
    there = {step for step, record in records.items() if record.sha256 in attached}
    while more := {step for step, reads in made.items() if reads and reads <= needed | there} - needed:
        needed |= more
    return frozenset(needed)


def _reads(record: Record) -> set[str]:
    return {short_id(step) for ids in record.inputs.values() for step in ids}


def _closure(layout: Layout, roots: Iterable[Blob]) -> set[str]:
    """The digests of `roots`, which are manifests, and of all that they name."""
    found: set[str] = set()
    waiting = [(root, True) for root in roots]
    while waiting:
        blob, is_manifest = waiting.pop()
        if is_manifest and blob.sha256 not in found:
            waiting += parts(layout.read(blob.sha256))
        found.add(blob.sha256)
    return found


def parts(data: bytes) -> list[tuple[Blob, bool]]:
    """What an image manifest or an image index names, and whether that is a manifest; nothing for other content."""
    try:
        value = json.loads(data)
        descriptors = [(found, key == "manifests") for key in _WITH_PARTS for found in _list(value.get(key, []))]
    except (ValueError, AttributeError):
        return []
    return [(blob, is_manifest) for found, is_manifest in descriptors if (blob := _known_blob(found))]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _known_blob(descriptor: dict[str, Any]) -> Blob | None:
    """The content that a descriptor names, if it is named by its sha256, as all that we look after."""
    try:
        return blob_of(descriptor)
    except ValueError:
        return None
