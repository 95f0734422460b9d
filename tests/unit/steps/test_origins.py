"""Which part of a provisioner wrote a path."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

from imagebuilder.steps import origins


def test_part_that_changed_a_path_last_is_told(tmp_path: Path) -> None:
    layer = tmp_path / "root"
    beginnings: list[tuple[str, int]] = []

    def begin(part: str) -> None:
        time.sleep(0.02)
        beginnings.append((part, time.time_ns()))
        time.sleep(0.02)

    (layer / "d").mkdir(parents=True)
    (layer / "before").touch()
    begin("one")
    for name in ("a", "b", "d/c"):
        (layer / name).touch()
    os.mknod(layer / "pipe", stat.S_IFIFO)
    begin("two")
    (layer / "b").chmod(0o600)
    os.utime(layer / "d/c", (1, 1))  # its own time says nothing
    origins.write(layer, beginnings)
    found = {name: origins.find(layer, f"/{name}") for name in ("before", "a", "b", "d/c", "pipe", "nothing")}
    assert found == {"before": None, "a": "one", "b": "two", "d/c": "two", "pipe": "one", "nothing": None}


def test_layer_without_origins_tells_none(tmp_path: Path) -> None:
    assert origins.find(tmp_path / "root", "/a") is None
