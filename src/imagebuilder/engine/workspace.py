"""Where the steps of a build put what nobody keeps: a tmpfs of the private namespace.

The kernel frees it with the namespace, however the build ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebuilder.host.mounts import mounted
from imagebuilder.plan.model import PlannedStep

# Paths of overlays in here meet the kernel's one-page limit on mount options.
_ID_LENGTH = 16


@contextmanager
def workspace(root: Path, size: str) -> Iterator[Path]:
    """Mount the tmpfs; to be called in a private namespace."""
    with mounted("imagebuilder", root, "tmpfs", data=f"size={size},mode=0755"):
        yield root


def scratch(root: Path, step: PlannedStep) -> Path:
    """A step's own folder, not made yet."""
    return root / step.id[:_ID_LENGTH]
