"""Which part of a provisioner last wrote to each path: an action, a command, a task of a role.

It is told by times: the kernel notes when an inode changes, and no program can
set that. What changed last after one part began and before the next is that part's.
Of what was deleted it cannot be told: all whiteouts of a mount are names of one inode.
Kept beside the layer, not in it, for `imagebuilder whence` alone:

    origins.json    {"parts": [PART, ...], "paths": {PATH: number of the part, ...}}
"""

from __future__ import annotations

import json
import os
import stat
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

_FILE = "origins.json"


def write(layer: Path, beginnings: Sequence[tuple[str, int]]) -> None:
    """Write beside `layer` what each of its paths is of; parts come with when they began, in ns since 1970."""
    began = [time for _, time in beginnings]
    base = os.fsencode(layer)
    paths: dict[str, int] = {}
    for folder, folders, files in os.walk(base):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            part = bisect_right(began, status.st_ctime_ns) - 1
            if part >= 0 and not (stat.S_ISCHR(status.st_mode) and status.st_rdev == 0):
                paths[f"/{os.fsdecode(os.path.relpath(path, base))}"] = part
    text = json.dumps({"parts": [part for part, _ in beginnings], "paths": paths})
    layer.with_name(_FILE).write_text(text)


def find(layer: Path, path: str) -> str | None:
    """The part that last wrote to a path of a layer, if that was kept."""
    try:
        value = json.loads(layer.with_name(_FILE).read_text())
    except FileNotFoundError:  # made before this was kept
        return None
    number = value["paths"].get(path)
    return None if number is None else str(value["parts"][number])
