"""nodes.yml as it is now: read again when it has changed, the old one in force while the new one is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host import clock
from imagebuilder.serve.nodes import Nodes, read_nodes

_AGAIN_SECONDS = 5
"""What is wrong may be right after a while without a change of the file: a template that was missing has come."""


class Roster:
    """What nodes get. `problem` is what is wrong with the file as it is now, "" if nothing is."""

    def __init__(
        self,
        source: Path | Nodes,
        tell: Callable[[str], None],
        adapt: Callable[[Nodes], Nodes] = lambda nodes: nodes,
    ) -> None:
        """From a file, or as it is for good; `adapt` makes of a file's content what this server gives.

        It raises SpecError for what the server cannot do. Raises SpecError when the file is wrong to begin with.
        """
        self.path = source if isinstance(source, Path) else None
        self.problem = ""
        self._tell = tell
        self._adapt = adapt
        self._again = 0.0
        self._nodes = source if isinstance(source, Nodes) else Nodes()
        self._seen = self._look()
        if self.path:
            self._read(self.path)

    @property
    def nodes(self) -> Nodes:
        """The last content that was right."""
        seen = self._look()
        if self.path and (seen != self._seen or (self.problem and clock.monotonic() >= self._again)):
            self._seen = seen
            try:
                self._read(self.path)
            except ImagebuilderError as error:
                if str(error) != self.problem:
                    self._tell(f"{error}; what was there before stays in force")
                self.problem = str(error)
                self._again = clock.monotonic() + _AGAIN_SECONDS
            else:
                self.problem = ""
                self._tell(f"{self.path} has changed: {len(self._nodes.entries)} entries")
        return self._nodes

    def _read(self, path: Path) -> None:
        """Read the file and its templates, again if one of them changes meanwhile."""
        while True:
            self._nodes = self._adapt(read_nodes(path))
            seen = self._look()
            if seen == self._seen:
                return
            self._seen = seen

    def _look(self) -> tuple[tuple[int, ...] | None, ...]:
        """What tells that the file has changed, or a template that it names."""
        return tuple(map(_stamp, (self.path, *sorted(self._nodes.templates)))) if self.path else ()


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
