"""The folders that steps made, kept to be lower directories of later builds.

    TREES/ID/root           the folder; ID is the beginning of the step's id
    TREES/ID/record.json    the step's record
    TREES/ID/origins.json   what of a provisioner changed which path (steps/origins.py)
    TREES/work/             folders that running builds have not finished

A folder appears with its record, whole and on disk, by one rename. Folders
carry owners, devices and overlay marks: TREES is on a local file system of
this machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from imagebuilder.host import files
from imagebuilder.host.kernel import sync_file_system
from imagebuilder.store.record import Record

# Long paths meet the kernel's one-page limit on mount options when many layers are stacked.
_ID_LENGTH = 16
_RECORD = "record.json"
_ROOT = "root"
_WORK = "work"


def short_id(step_id: str) -> str:
    """The beginning of a step's id, by which its folder is known."""
    return step_id[:_ID_LENGTH]


class Trees:
    """The folders kept in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, step_id: str) -> Path:
        """Where the folder of a step is, or would be."""
        return self._folder / short_id(step_id) / _ROOT

    def find(self, step_id: str) -> Record | None:
        """The record of a step, if its folder is here."""
        return _read(self.path(step_id).with_name(_RECORD))

    def work(self) -> AbstractContextManager[Path]:
        """A folder for unfinished trees, of this process alone, gone after the block."""
        return files.workroom(self._folder / _WORK)

    def begin(self, work: Path, step_id: str) -> Path:
        """An empty folder in `work` for a step to fill."""
        place = work / short_id(step_id) / _ROOT
        place.mkdir(parents=True)
        return place

    def keep(self, folder: Path, step_id: str, record: Record) -> None:
        """Keep `folder`, which `begin` gave, now that it is finished."""
        place, target = folder.parent, self.path(step_id).parent
        (place / _RECORD).write_text(record.to_json())
        sync_file_system(place)
        try:
            os.rename(place, target)
        except OSError:
            if not self.find(step_id):
                raise  # else another build was quicker

    def forget(self, step_id: str, work: Path) -> None:
        """Remove the folder of a step, by way of `work`: half a folder is never seen."""
        place = self.path(step_id).parent
        os.rename(place, work / place.name)
        files.remove_tree(work / place.name)

    def all(self) -> Iterator[tuple[str, Record]]:
        """Every folder that can be used, by the beginning of its step's id."""
        for folder in self.folders():
            if record := _read(folder / _RECORD):
                yield folder.name, record

    def folders(self) -> list[Path]:
        """Every folder, with its record or without, named by the beginning of its step's id."""
        found = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        return [path for path in found if path.name != _WORK and path.is_dir()]

    def left_over(self) -> list[Path]:
        """What builds that were killed did not finish, while none runs."""
        work = self._folder / _WORK
        return [room for room in sorted(work.iterdir()) if room.is_dir()] if work.is_dir() else []


def _read(path: Path) -> Record | None:
    try:
        return Record.from_json(path.read_text())
    except (OSError, ValueError, KeyError, TypeError):
        return None
