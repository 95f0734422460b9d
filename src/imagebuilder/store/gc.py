"""What can go from a store and from the folders that steps made, because nothing that stays needs it.

Whatever goes is first forgotten by what names it: index.json, then records,
then blobs. So a run that is killed half way leaves a store that is whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from imagebuilder.host import files
from imagebuilder.store.actions import Actions
from imagebuilder.store.index import Index, change_index, read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.needs import named_blobs, needed_blobs, needed_steps
from imagebuilder.store.record import Record
from imagebuilder.store.trees import Trees, short_id

FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Removal:
    """A file or folder that can go: what kind of thing it is, and the bytes that it gives free."""

    kind: str
    path: Path
    size: int

    @classmethod
    def of(cls, kind: str, path: Path) -> Removal:
        """One with its size; a blob that an artifact folder shows by a hard link gives nothing free."""
        is_shown = path.is_file() and path.stat().st_nlink > 1
        return cls(kind, path, 0 if is_shown else files.size_of(path))


@dataclass(frozen=True, slots=True)
class Findings:
    """What can go, in the order in which it has to, and the records of the steps that stay, by short id."""

    removals: tuple[Removal, ...]
    records: dict[str, Record]


def prune(layout: Layout, keep: int, *, dry_run: bool) -> Index:
    """Cut each name's past down to the last `keep` manifests, and take off the index what is about others.

    Returns the index; `dry_run` leaves the one on disk as it is. Raises
    ImagebuilderError when a manifest is damaged or missing.
    """

    def pruned(index: Index) -> Index:
        index = index.with_past(keep)
        needed = needed_blobs(layout, index)
        unneeded = [entry for entry, blob in index.foreign_blobs() if blob.sha256 not in needed]
        return replace(index, foreign=tuple(entry for entry in index.foreign if entry not in unneeded))

    return pruned(read_index(layout)) if dry_run else change_index(layout, pruned)


def find_unneeded(
    layout: Layout, trees: Trees, index: Index, latest: Iterable[str], wanted: frozenset[str] = frozenset()
) -> Findings:
    """What neither `index` nor a step that it needs has a use for, while nobody builds.

    `latest` are the ids of the steps that were last done for image trees, `wanted`
    the short ids of steps that somebody needs all the same. Raises
    ImagebuilderError when a manifest is damaged or missing: what it needs is not known then.
    """
    actions = Actions(layout)
    records = {short_id(step): record for step, record in (*actions.all(), *trees.all())}
    named = needed_blobs(layout, index)
    steps = needed_steps(records, named_blobs(layout, index), frozenset(map(short_id, latest)), named, wanted)
    blobs = named | {records[step].sha256 for step in steps}
    stay = {step: record for step, record in records.items() if step in steps or record.sha256 in blobs}
    removals = (
        *(Removal.of("record", path) for path in actions.files() if short_id(path.name) not in stay),
        *(Removal.of("blob", layout.path(blob.sha256)) for blob in layout.all_blobs() if blob.sha256 not in blobs),
        *(Removal.of(FOLDER, path) for path in trees.folders() if path.name not in steps),
        *(Removal.of("left over", path) for path in (*layout.left_over(), *trees.left_over())),
    )
    return Findings(removals, stay)


def remove(removals: Iterable[Removal], trees: Trees) -> None:
    """Remove them, in their order. The folder of a step is never seen half removed."""
    with trees.work() as work:
        for removal in removals:
            if removal.kind == FOLDER:
                trees.forget(removal.path.name, work)
            elif removal.path.is_dir():
                files.remove_tree(removal.path)
            else:
                removal.path.unlink(missing_ok=True)
