"""nodes.yml as it is now: read again when it has changed, the old one in force while the new one is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imagebuilder.errors import ImagebuilderError
from imagebuilder.serve.nodes import Nodes, read_nodes


class Roster:
    """What nodes get. `problem` is what is wrong with the file as it is now, "" if nothing is."""

    def __init__(self, source: Path | Nodes, tell: Callable[[str], None]) -> None:
        """From a file, or as it is for good. Raises SpecError when the file is wrong to begin with."""
        self.path = source if isinstance(source, Path) else None
        self.problem = ""
        self._tell = tell
        self._seen = self._look()
        self._nodes = read_nodes(source) if isinstance(source, Path) else source

    @property
    def nodes(self) -> Nodes:
        """The last content that was right."""
        seen = self._look()
        if self.path and seen != self._seen:
            self._seen = seen
            try:
                self._nodes = read_nodes(self.path)
            except ImagebuilderError as error:
                self.problem = str(error)
                self._tell(f"{error}; what was there before stays in force")
            else:
                self.problem = ""
                self._tell(f"{self.path} has changed: {len(self._nodes.entries)} entries")
        return self._nodes

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = self.path.stat() if self.path else None
        except OSError:
            return None
        return (status.st_ino, status.st_mtime_ns, status.st_size) if status else None
