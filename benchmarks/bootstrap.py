"""The default base's root filesystem by ourselves and by mmdebstrap; the discovery overlay from mount to artifact.

The same packages, all of them and the indexes on disk already. mmdebstrap is measured as anybody runs
it, into a folder, and as our reference engine runs it: on a mount that ignores fsync, without dpkg's
own waits for the disk. Our times are a step's own, out of a build of that one image from an empty
cache: resolving and packing the base do not count. The ways take turns.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import CHECKOUT, IMAGEBUILDER, TREE, Row, build, report, seconds_of

_RUNS = 3
_HOOK = CHECKOUT / "src/imagebuilder/steps/mmdebstrap-setup.sh"
_EXCLUDES = CHECKOUT / "src/imagebuilder/plan/excludes.txt"
_CACHE = Path("/var/cache/on-imagebuilder")


def main() -> None:
    with tempfile.TemporaryDirectory(dir=_CACHE.parent) as name:
        folder = Path(name)
        build(folder / "builds")  # fetches what is not there yet, and leaves the base that the overlay is made on
        tree = shutil.copytree(TREE, folder / "images")
        subprocess.run([*IMAGEBUILDER, "lock"], cwd=tree, check=True, capture_output=True)
        times: dict[str, list[float]] = {"native": [], "mmdebstrap": [], "plain": [], "overlay": []}
        for _ in range(_RUNS):
            for engine in ("native", "mmdebstrap"):
                steps = _steps(folder, "base", "vars/base.yml", "-e", f"bootstrap={engine}")
                times[engine].append(steps["base: bootstrap"])
            times["plain"].append(_plain(folder, tree / "imagebuilder.lock"))
            steps = _steps(folder, "overlay", "vars/discovery.yml")
            times["overlay"].append(steps["discovery: provision"] + steps["discovery: pack"])
    native, mmdebstrap, plain, overlay = (statistics.median(values) for values in times.values())
    report(
        "bootstrap",
        [
            Row("root filesystem of the default base, by ourselves", native, "s"),
            Row("the same by mmdebstrap", plain, "s"),
            Row("the same by mmdebstrap on our mount (`bootstrap: mmdebstrap`)", mmdebstrap, "s"),
            Row("our share of mmdebstrap's time", 100 * native / plain, "%", 40),
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


def _plain(folder: Path, lock: Path) -> float:
    """mmdebstrap with the packages of a lock, and the indexes and packages of the cache that `_steps` left."""
    (sources,) = (folder / "cache/apt").glob("*/sources.list")
    shown, root = folder / "shown", folder / "root"
    shown.mkdir(exist_ok=True)
    for name, target in (("lists", sources.parent / "lists"), ("archives", _CACHE / "archives")):
        (shown / name).unlink(missing_ok=True)
        (shown / name).symlink_to(target)
    packages = ",".join(line.split()[0] for line in json.loads(lock.read_text())["images"]["base"]["install"])
    patterns = [line for line in _EXCLUDES.read_text().splitlines() if line and not line.startswith("#")]
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in patterns if not pattern.startswith("!")]
    options += [f"--dpkgopt=path-include={pattern[1:]}" for pattern in patterns if pattern.startswith("!")]
    argv = (
        # The hook's mounts go with the namespace, before the root is removed.
        *(
            "unshare",
            "--mount",
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            "--skip=update",
            *options,
        ),
        *('--aptopt=APT::Install-Recommends "false"', f"--include={packages}"),
        *(f'--setup-hook={_HOOK} {shown} "$1"', "bookworm", str(root), str(sources)),
    )
    seconds = seconds_of(argv, folder)
    shutil.rmtree(root)
    return seconds


if __name__ == "__main__":
    main()
