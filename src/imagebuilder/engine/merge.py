"""Several overlays as one: what `imagebuilder merge` makes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from imagebuilder.engine.unpacked import opened
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.events import Report
from imagebuilder.host.files import publish
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.host.machine import Machine
from imagebuilder.steps import databases, overlay, sidecar
from imagebuilder.steps.conflicts import stacking_conflicts
from imagebuilder.steps.layer import Entry, bytes_of
from imagebuilder.steps.layer_stack import opaque, stacked
from imagebuilder.steps.unpack import Unpacked


def merge_files(paths: Sequence[Path], form: str, output: Path, report: Report) -> None:
    """Write one overlay in the format `form` that says what those at `paths`, bottom first, say; always the same bytes.

    Raises ImagebuilderError for overlays that cannot be stacked, UserError for
    a file that is no overlay and for a format that cannot say it.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="imagebuilder-merge-", dir=output.parent) as name,
        ExitStack() as stack,
    ):
        scratch = Path(name)
        machine = LocalMachine("merge", scratch, AptFiles(scratch, scratch, {}), {}, report)
        overlays = [stack.enter_context(opened(path, scratch)) for path in paths]
        _refuse_conflicts([(path.name, one.changes) for path, one in zip(paths, overlays, strict=True)])
        merged = merge(machine, overlays)
        if form != "squashfs" and (marked := opaque(merged.entries)):
            raise _not_for_archives(marked, form)
        epoch = max(entry.member.mtime for entry in merged.entries)
        known = sidecar.Known(merged.changes, merged.replaces or frozenset())
        members = sidecar.add(merged.entries, known, form, epoch, machine.scratch())
        overlay.write(machine, members, form, scratch / "merged", epoch)
        publish(scratch / "merged", output)


def merge(machine: Machine, overlays: Sequence[Unpacked]) -> Unpacked:
    """One overlay of several: their files stacked, of databases the records of all."""
    paths = {databases.path_of(place) for one in overlays for place in one.changes}
    changes: dict[str, bytes] = {}
    contents: dict[str, bytes] = {}
    plain: set[str] = set()  # databases that count as they are, whatever the base has
    for one in overlays:
        lists = databases.after(changes, one.changes)
        files = {entry.path[1:]: entry for entry in one.entries}
        for path in paths & files.keys():
            own = databases.in_turn(lists, path)
            if not own:
                plain.add(path)
            if own and path in contents:
                contents[path] = _merged(machine, contents[path], own)
            else:
                contents[path] = bytes_of(files[path])
        changes |= lists
    kept = {place: said for place, said in changes.items() if databases.path_of(place) not in plain}
    entries, replaces = stacked([(one.entries, one.replaces) for one in overlays])
    return Unpacked([_with(entry, contents) for entry in entries], kept, replaces)


def _merged(machine: Machine, below: bytes, lists: Sequence[tuple[str, bytes]]) -> bytes:
    """A database that the overlays below have so, with what the lists of one above them say."""
    for kind, said in lists:
        if kind != "cache":
            below = databases.merged(machine, kind, said, below)
    return below


def _with(entry: Entry, contents: Mapping[str, bytes]) -> Entry:
    content = contents.get(entry.path[1:]) if entry.kind == "file" else None
    if content is None:
        return entry
    return replace(entry, member=replace(entry.member, size=len(content)), content=content)


def _refuse_conflicts(overlays: Sequence[tuple[str, databases.Changes]]) -> None:
    if conflicts := stacking_conflicts(overlays):
        raise ImagebuilderError(
            "these overlays cannot be stacked:\n" + "\n".join(map(str, conflicts)),
            hint="give users ids of their own (`useradd --uid`); `imagebuilder lock` gives each package one version",
        )


def _not_for_archives(marked: Sequence[Entry], form: str) -> UserError:
    paths = "\n".join(entry.path for entry in marked)
    return UserError(
        f"`{form}` cannot say that these folders hide what the base has there, which one overlay removes before "
        f"another makes them:\n{paths}",
        hint="write a squashfs: `-o NAME.overlay.squashfs`",
    )
