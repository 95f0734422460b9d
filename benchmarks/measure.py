"""What the benchmarks share: a build into a folder of its own, and a table with its claims."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
TREE = CHECKOUT / "images"
RESULTS = Path(__file__).parent / "results"
IMAGEBUILDER = (sys.executable, "-m", "imagebuilder")


@dataclass(frozen=True, slots=True)
class Row:
    """One measured thing: `value` in `unit`, at most `limit` if there is a claim."""

    what: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def verdict(self) -> str:
        if self.limit is None:
            return ""
        return "ok" if self.value <= self.limit else "MISSED"


def build(folder: Path, *arguments: str) -> float:
    """Run `imagebuilder build` with artifacts in `folder`; returns its wall time in seconds."""
    began = time.monotonic()
    command = (*IMAGEBUILDER, "build", "-e", f"build_artifact_path={folder}", *arguments)
    done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.monotonic() - began


def seconds_of(argv: Sequence[str], folder: Path) -> float:
    """The wall time of a program that is run in `folder`; it has to succeed."""
    began = time.monotonic()
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return time.monotonic() - began


CACHE = Path("/var/cache/on-imagebuilder")


@contextmanager
def fresh_cache(folder: Path, packages: Path = CACHE) -> Iterator[Path]:
    """A cache in `folder` in which no step has been done, with the packages of the cache `packages`."""
    cache = folder / "cache"
    cache.mkdir()
    for shared in ("apt", "archives"):
        (packages / shared).mkdir(parents=True, exist_ok=True)
        (cache / shared).symlink_to(packages / shared)
    yield cache
    shutil.rmtree(cache)


def report(name: str, rows: Sequence[Row]) -> None:
    """Print the table, write it as JSON, and exit with 1 if a claim was missed."""
    width = max(len(row.what) for row in rows)
    for row in rows:
        limit = "" if row.limit is None else f"<= {row.limit:g}"
        print(f"{row.what:<{width}}  {row.value:>9.2f} {row.unit:<3} {limit:>8}  {row.verdict}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    if any(row.verdict == "MISSED" for row in rows):
        sys.exit(1)
