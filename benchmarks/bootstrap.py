"""The default base's root filesystem by ourselves and by mmdebstrap; the discovery overlay from mount to artifact.

The same packages, all of them on disk already. Each time is a step's own, out of a build of that one
image from an empty cache: resolving and packing the base do not count. The two ways take turns.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import IMAGEBUILDER, TREE, Row, build, report

_RUNS = 3
_CACHE = Path("/var/cache/on-imagebuilder")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=_CACHE.parent) as name:
        folder = Path(name)
        build(folder / "builds")  # fetches what is not there yet, and leaves the base that the overlay is made on
        times: dict[str, list[float]] = {"native": [], "mmdebstrap": [], "overlay": []}
        for _ in range(_RUNS):
            for engine in ("native", "mmdebstrap"):
                steps = _steps(folder, "base", "vars/base.yml", "-e", f"bootstrap={engine}")
                times[engine].append(steps["base: bootstrap"])
            steps = _steps(folder, "overlay", "vars/discovery.yml")
            times["overlay"].append(steps["discovery: provision"] + steps["discovery: pack"])
    native, mmdebstrap, overlay = (statistics.median(values) for values in times.values())
    report(
        "bootstrap",
        [
            Row("root filesystem of the default base, by ourselves", native, "s"),
            Row("the same by mmdebstrap", mmdebstrap, "s"),
            Row("our share of mmdebstrap's time", 100 * native / mmdebstrap, "%", 40),
            Row("discovery overlay, mount to artifact", overlay, "s", 6),
        ],
    )


def _steps(folder: Path, kind: str, config_file: str, *more: str) -> dict[str, float]:
    """Build one image with nothing but packages at hand; returns the seconds of its steps."""
    cache = folder / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    subprocess.run(["cp", "-al", _CACHE / "archives", cache], check=True)
    options = ("--json", "--cache", str(cache), "-e", f"build_artifact_path={folder / 'builds'}", *more)
    argv = (*IMAGEBUILDER, "build", *options, "--kind", kind, "--config-file", config_file)
    done = subprocess.run(argv, cwd=TREE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    events = map(json.loads, done.stdout.splitlines())
    return {event["step"]: event["seconds"] for event in events if event["event"] == "StepFinished"}


if __name__ == "__main__":
    main()
