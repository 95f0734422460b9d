"""Builds that are stopped at any moment leave nothing behind, and nothing that the next build stumbles over."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from builds import SUMS, Site, artifacts, digest_of, listed, traces
from mirror import Mirror

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(600)]

KILLS = 10
"""Of each signal, on each of two builds that run side by side."""
OVERLAY = ("--kind", "overlay", "--config-file", "vars/extra.yml")
ARTIFACT = "extra.overlay.cpio.gz"
BUILDS = {"base": ((), 5.0), "overlay": (OVERLAY, None)}
"""What is built, and within how many seconds it is stopped; None stands for all the time that it takes."""


def _started(site: Site, arguments: tuple[str, ...], said: Path) -> subprocess.Popen[bytes]:
    """A build that has said its first word."""
    with said.open("wb") as file:
        process = subprocess.Popen(site.argv(*arguments), cwd=site.tree, stdout=subprocess.DEVNULL, stderr=file)
    while not said.stat().st_size and process.poll() is None:
        time.sleep(0.01)
    return process


def _stop(site: Site, arguments: tuple[str, ...], number: signal.Signals, seconds: float) -> bool:
    """Start a build and stop it after a while; returns whether it was still running then."""
    said = site.tree / "said"
    process = _started(site, arguments, said)
    time.sleep(seconds)
    process.send_signal(number)
    status = process.wait(timeout=30)
    *_, last = said.read_text().splitlines()
    if status == 0 or last.startswith(ARTIFACT):  # Python itself may still be on its way out
        return False
    if number == signal.SIGKILL:
        assert status == -signal.SIGKILL
    else:
        assert (status, last) == (130, f"error: stopped by {number.name}; nothing is left behind")
        assert "Traceback" not in said.read_text()
    return True


def _duration(site: Site, arguments: tuple[str, ...]) -> float:
    """The seconds that a build takes from its first word on."""
    process = _started(site, arguments, site.tree / "said")
    began = time.monotonic()
    assert process.wait() == 0
    return time.monotonic() - began


def _nothing_is_left(site: Site, artifact_names: set[str]) -> None:
    assert traces(str(site.tree)) == []
    assert {path.name for path in site.builds.iterdir()} <= {*artifact_names, SUMS, ".lock"}
    for name, digest in listed(site.builds).items():
        assert digest_of(site.builds / name) == digest


def _nothing_unfinished_is_left(site: Site) -> None:
    for folder in ("trees/work", "store/incoming"):
        assert [path.name for path in (site.cache / folder).iterdir()] == ["lock"]
    for blob in (site.cache / "store/blobs/sha256").iterdir():
        assert digest_of(blob) == blob.name


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_build_that_is_stopped_at_any_moment_leaves_nothing_and_the_next_succeeds(
    number: signal.Signals,
    tmp_path: Path,
    mirror: Mirror,
    two_at_once: tuple[Site, list[subprocess.CompletedProcess[str]], list[str]],
) -> None:
    quiet, _, _ = two_at_once
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    undisturbed = artifacts(quiet.builds)

    def disturb(what: str) -> int:
        site = mirror.site(tmp_path / what, tmp_path / f"{what}-cache")
        # Its own packages: those of a build that runs are nobody's to take away.
        shutil.copytree(quiet.cache / "archives", site.cache / "archives", copy_function=os.link)
        shutil.copytree(quiet.builds, site.builds)
        arguments, limit = BUILDS[what]
        limit = limit or _duration(site, arguments)
        moments = random.Random(f"{seed} {what}")
        hits = rounds = 0
        while hits < KILLS:
            rounds += 1
            assert rounds <= 3 * KILLS, f"{hits} of {rounds} came in time"  # a build may be quicker than it was
            for deb in site.cache.glob("archives/sandwich_*"):
                deb.unlink(missing_ok=True)  # so that fetching is disturbed as well
            shutil.rmtree(site.cache / "trees", ignore_errors=True)  # so that there is something to do
            hits += _stop(site, (*arguments, "-e", f"marker={rounds}"), number, moments.uniform(0, limit))
            _nothing_is_left(site, set(undisturbed))
        site.build(*arguments, "-e", "marker=another")  # has something to do, and so tidies up
        _nothing_unfinished_is_left(site)
        return rounds

    with ThreadPoolExecutor() as pool:
        rounds = dict(zip(BUILDS, pool.map(disturb, BUILDS), strict=True))
    print(f"builds that were started for {KILLS} stops: {rounds}")
    site = mirror.site(tmp_path / "overlay", tmp_path / "overlay-cache")
    site.build(*OVERLAY)
    assert artifacts(site.builds) == undisturbed
