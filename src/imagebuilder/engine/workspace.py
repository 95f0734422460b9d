"""Where a build works: a tmpfs of the private namespace, by step.

    ROOT/                    tmpfs of `build_root_size`, on the tree's build root
      layers/ID              outputs that are folders, named by step id
      files/ID               outputs that are files
      scratch/ID/N           what a step asked for

The kernel frees it with the namespace, however the build ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.host.mounts import mounted
from imagebuilder.plan.model import PlannedStep

# Long paths meet the kernel's one-page limit on mount options when many layers are stacked.
_ID_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders of one build below `root`."""

    root: Path

    def output(self, step: PlannedStep) -> Path:
        """Where a step's output goes."""
        return self.found(step.id, folder=step.step.makes_folder)

    def found(self, step_id: str, *, folder: bool) -> Path:
        """Where the output of a step of this id is."""
        return self.root / ("layers" if folder else "files") / step_id[:_ID_LENGTH]

    def scratch(self, step: PlannedStep) -> Path:
        """A step's own scratch folder."""
        return self.root / "scratch" / step.id[:_ID_LENGTH]


@contextmanager
def workspace(root: Path, size: str) -> Iterator[Workspace]:
    """Mount the tmpfs; to be called in a private namespace."""
    with mounted("imagebuilder", root, "tmpfs", data=f"size={size},mode=0755"):
        for name in ("layers", "files", "scratch"):
            (root / name).mkdir()
        yield Workspace(root)
