"""The scripts behind `make setup`, with the real dpkg and the real venv module."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).parents[2] / "packaging"


def _install(*lists: Path, user: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(PACKAGING / "install-debian-packages"), *map(str, lists)],
        user=user,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_happens_when_every_package_is_there() -> None:
    result = _install(*PACKAGING.glob("apt-*.txt"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.root
def test_without_root_the_missing_packages_and_the_command_are_named() -> None:
    listing = Path("/tmp") / f"apt-list-{os.getpid()}.txt"
    listing.write_text("# a comment\ndash  dash # there\nno-such-package  x # not there\nnor-this # not there\n")
    try:
        result = _install(listing, user=65534)
    finally:
        listing.unlink()
    assert result.returncode == 1
    assert result.stderr.endswith("    apt-get install --no-install-recommends no-such-package nor-this\n")


def test_python_that_is_too_old_is_refused_with_the_package_to_install(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = subprocess.run(
        [str(PACKAGING / "make-virtual-environment"), str(tmp_path / "venv"), "requirements.lock"],
        env={**os.environ, "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "apt-get install python3-venv" in result.stderr
    assert not (tmp_path / "venv").exists()
