"""Which blob a step made: STORE/actions/ID holds the record of the step of that id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imagebuilder.host import files
from imagebuilder.store.layout import Layout
from imagebuilder.store.record import Record


class Actions:
    """The steps whose blobs are in a store."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folder = layout.root / "actions"

    def find(self, step_id: str) -> Record | None:
        """The record of a step, if its blob is still in the store."""
        record = self._read(step_id)
        return record if record and self._layout.has(record.sha256) else None

    def keep(self, step_id: str, record: Record) -> None:
        """Remember a step whose blob is in the store."""
        files.publish_text(record.to_json(), self._folder / step_id)

    def forget(self, step_id: str) -> None:
        """The blob of this step may go."""
        (self._folder / step_id).unlink(missing_ok=True)

    def all(self) -> Iterator[tuple[str, Record]]:
        """Every step that can be read, with its id."""
        for path in self.files():
            if record := self._read(path.name):
                yield path.name, record

    def files(self) -> list[Path]:
        """Every record as a file, named by its step's id; some may be no records."""
        found = sorted(self._folder.iterdir()) if self._folder.is_dir() else []
        return [path for path in found if not path.name.startswith(".")]

    def _read(self, step_id: str) -> Record | None:
        try:
            return Record.from_json((self._folder / step_id).read_text())
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not there, or not ours: the step is done again
