"""What a build takes that has nothing, or next to nothing, to do."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from measure import IMAGEBUILDER, TREE, Row, report

_RUNS = 7


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        tree = shutil.copytree(TREE, Path(folder) / "images")
        _run(tree, "lock")
        _run(tree, "build")
        nothing, plan, help_ = (_median(tree, word) for word in ("build", "plan", "--help"))
        config = tree / "vars/discovery.yml"
        config.write_text(f"{config.read_text()}    - date > /etc/changed-{time.time_ns()}\n")
        changed, said = _run(tree, "build", "--profile", "--json")
        own = _own_seconds(said)
    report(
        "rebuild",
        [
            Row("nothing changed, the default tree", nothing, "s", 0.4),
            Row("plan", plan, "s", 0.5),
            Row("--help", help_, "s", 0.15),
            Row("one line changed in an overlay's config", changed, "s", own + 0.5),
            Row("  of it the overlay's own steps", own, "s"),
        ],
    )


def _run(tree: Path, *arguments: str) -> tuple[float, str]:
    """The seconds that a verb takes in a tree, and what it prints."""
    began = time.monotonic()
    done = subprocess.run([*IMAGEBUILDER, *arguments], cwd=tree, check=True, capture_output=True, text=True)
    return time.monotonic() - began, done.stdout


def _median(tree: Path, word: str) -> float:
    return statistics.median(_run(tree, word)[0] for _ in range(_RUNS))


def _own_seconds(said: str) -> float:
    """The seconds from the start of the first step that ran to the end of the last; all are the overlay's."""
    (profile,) = (line["profile"] for line in map(json.loads, said.splitlines()) if "profile" in line)
    steps = [step for step in profile["steps"] if step["state"] == "done" and step["name"] != "packages: fetch"]
    assert {step["name"].partition(":")[0] for step in steps} == {"discovery"}
    return float(max(step["start"] + step["seconds"] for step in steps) - min(step["start"] for step in steps))


if __name__ == "__main__":
    main()
