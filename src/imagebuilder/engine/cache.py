"""What steps made before and need not make again: blobs in the store, folders in the trees cache.

CACHE/store/       the OCI image layout, with what steps made blobs (store/layout.py, store/actions.py)
CACHE/trees/       folders (store/trees.py)
CACHE/locks/ID     held by the build that does the step
CACHE/in-use       held, shared, by builds; alone by whoever removes folders and packages
CACHE/latest/      by tree and step name the id of the last one done: what `plan` compares with
CACHE/failed/      what failed steps left (engine/failed.py)
CACHE/profiles/    what builds spent their time on (engine/profile.py)
CACHE/archives/, CACHE/apt/    packages (resolve/apt.py)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from imagebuilder import digest
from imagebuilder.errors import ImagebuilderError
from imagebuilder.host import files
from imagebuilder.host.kernel import is_root_of_the_machine
from imagebuilder.plan.model import PlannedStep
from imagebuilder.steps.base import identity
from imagebuilder.store.actions import Actions
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.record import Record
from imagebuilder.store.trees import Trees


def default_folder() -> Path:
    """Where root keeps things, and where everybody else does (basedir-spec: XDG_CACHE_HOME)."""
    return Path("/var/cache/on-imagebuilder") if is_root_of_the_machine() else user_folder()


def user_folder() -> Path:
    """Where the user's own things are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "on-imagebuilder")


@dataclass(frozen=True, slots=True)
class Rooms:
    """Where a running build puts what is not finished: beside the place where it will be kept."""

    blobs: Path
    trees: Path


class Cache:
    """The outputs of steps, by step id; `store` may lie elsewhere, on a file system that several machines share."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.folder = folder
        self.failed = folder / "failed"
        self.profiles = folder / "profiles"
        self.layout = Layout(store or folder / "store")
        self.actions = Actions(self.layout)
        self.trees = Trees(folder / "trees")

    def find(self, step: PlannedStep) -> Record | None:
        """The record of a step whose output is here."""
        return self.trees.find(step.id) if step.step.makes_folder else self.actions.find(step.id)

    def recall(self, step_id: str) -> Record | None:
        """The record of a step of which only the id is known, if its output is here."""
        return self.trees.find(step_id) or self.actions.find(step_id)

    def path(self, step: PlannedStep) -> Path:
        """The output of a step that is here. Raises KeyError when it is not."""
        if step.step.makes_folder:
            return self.trees.path(step.id)
        return self.layout.path(self.blob(step).sha256)

    def blob(self, step: PlannedStep) -> Blob:
        """The blob of a step that has been done. Raises KeyError when it is not here."""
        record = self.actions.find(step.id)
        if record is None:
            raise KeyError(step.name)
        return Blob(record.sha256, record.size)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Nobody removes anything during the block, from the cache or from its store."""
        with files.locked(self.folder / "in-use", shared=True), self.layout.used():
            yield

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Nobody builds during the block. Raises ImagebuilderError when somebody does already."""
        busy = ImagebuilderError(f"somebody builds with {self.folder}", hint="try again when the build has ended")
        with files.locked_at_once(self.folder / "in-use", busy), self.layout.emptied():
            yield

    @contextmanager
    def rooms(self) -> Iterator[Rooms]:
        """Room for a build's unfinished outputs."""
        with self.layout.incoming() as blobs, self.trees.work() as trees:
            yield Rooms(blobs, trees)

    def begin(self, rooms: Rooms, step: PlannedStep) -> Path:
        """Where a step is to put its output: an empty folder, or the name of a file to be."""
        return self.trees.begin(rooms.trees, step.id) if step.step.makes_folder else rooms.blobs / step.id

    def keep(self, step: PlannedStep, output: Path, seconds: float, parts: tuple[tuple[str, float], ...]) -> Record:
        """Take over `output`, which `begin` gave, now that the step has finished it."""
        blob = None if step.step.makes_folder else self.layout.adopt(output)
        record = Record(
            name=step.name,
            step=identity(step.step),
            inputs=step.inputs,
            sha256=blob.sha256 if blob else "",
            size=blob.size if blob else files.size_of(output),
            seconds=seconds,
            parts=parts,
        )
        if blob:
            self.actions.keep(step.id, record)
        else:
            self.trees.keep(output, step.id, record)
        return record

    def doing(self, step: PlannedStep) -> AbstractContextManager[None]:
        """Only one build at a time does a step: who comes second finds it done."""
        return files.locked(self.folder / "locks" / step.id[:16])

    def note_latest(self, tree: Path, step: PlannedStep) -> None:
        """Remember the step as the last of its name in an image tree."""
        own = self._latest(tree, step.name)
        if not own.exists() or own.read_text() != step.id:
            files.publish_text(step.id, own)

    def latest(self, tree: Path, name: str) -> str | None:
        """The id of the last step of this name that was done for an image tree, or else for any other."""
        own = self._latest(tree, name)
        others = own.parent.parent.glob(f"*/{own.name}")
        paths = [own] if own.exists() else sorted(others, key=lambda path: path.stat().st_mtime)
        return paths[-1].read_text() if paths else None

    def lock_files(self) -> list[Path]:
        """The lock of every step that was ever done here."""
        return list((self.folder / "locks").glob("*"))

    def latest_files(self) -> list[Path]:
        """What `note_latest` has written, for all image trees."""
        return list((self.folder / "latest").glob("*/*"))

    def package_files(self) -> list[Path]:
        """The packages that were ever downloaded, and what downloads did not finish."""
        archives = self.folder / "archives"
        return [path for path in (*archives.glob("*.deb*"), *archives.glob("partial/*")) if path.is_file()]

    def _latest(self, tree: Path, name: str) -> Path:
        return self.folder / "latest" / digest.of_bytes(bytes(tree))[:16] / quote(name, safe=" ")
