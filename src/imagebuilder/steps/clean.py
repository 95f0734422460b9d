"""What a build leaves behind and an image does not need: logs, caches, build-time leftovers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from imagebuilder.host.files import remove_tree
from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.steps.base import Action
from imagebuilder.steps.files import resolve


@dataclass(frozen=True, slots=True)
class Clean(Action):
    """Remove what matches `paths`: absolute glob patterns of the root; a trailing `/*` keeps the folder itself."""

    kind: ClassVar[str] = "clean"

    paths: tuple[str, ...]

    def run(self, machine: Machine, root: Chroot) -> None:
        """Remove each match, links never followed."""
        machine.progress("cleaning")
        for pattern in self.paths:
            for path in _matches(root.path, pattern):
                if path.is_dir() and not path.is_symlink():
                    remove_tree(path)
                else:
                    path.unlink(missing_ok=True)


def _matches(root: Path, pattern: str) -> list[Path]:
    """What a pattern names below `root`; the fixed folders in front of it are resolved inside the root.

    What lies behind a link that a wildcard met is left alone: it may be the
    host's, and if it is the root's own it has a name without the link.
    """
    parts = PurePosixPath(pattern).parts[1:]
    fixed = next((i for i, part in enumerate(parts) if set(part) & set("*?[")), len(parts) - 1)
    base = resolve(root, PurePosixPath("/", *parts[:fixed]))
    found = sorted(base.glob(os.path.join(*parts[fixed:]))) if base.is_dir() else []
    real = base.resolve()
    return [path for path in found if path.parent.resolve() == real / path.parent.relative_to(base)]
