"""The guide "Add an overlay" does what it says: its commands are run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from builds import PROGRAM, artifacts

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(900)]

GUIDE = Path(__file__).parents[2] / "docs/guides/add-an-overlay.md"
# The cache of the test session in place of the machine's.
_PROGRAM = """\
#!/bin/sh
[ "$1" != build ] || set -- "$@" --cache {cache}
exec {program} "$@"
"""


@dataclass(frozen=True, slots=True)
class Followed:
    """What came of following the guide: the artifact folder, and the unpacked overlay."""

    builds: Path
    overlay: Path


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Followed:
    """Run the shell blocks of the guide, one after the other, as its reader would."""
    folder = tmp_path_factory.mktemp("guide")
    program = folder / "bin/imagebuilder"
    program.parent.mkdir()
    program.write_text(_PROGRAM.format(cache=package_cache, program=PROGRAM))
    program.chmod(0o755)
    commands = re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(commands) >= 5
    done = subprocess.run(
        ["sh", "-eux", "-c", "".join(commands)],
        cwd=folder,
        env={**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    overlay = folder / "unpacked"
    overlay.mkdir()
    subprocess.run(["bsdtar", "-xpf", folder / "builds/burnin.overlay.cpio.gz", "-C", overlay], check=True)
    return Followed(folder / "builds", overlay)


def test_the_new_overlay_is_built_beside_the_others(followed: Followed) -> None:
    names = artifacts(followed.builds)
    assert {"burnin.overlay.cpio.gz", "discovery.overlay.cpio.gz"} <= names.keys()
    assert [name for name in names if name.startswith("base.")]
    assert [name for name in names if name.startswith("initrd.img-")]


def test_the_role_installed_its_package_and_rendered_its_template(followed: Followed) -> None:
    assert (followed.overlay / "usr/sbin/memtester").exists()
    script = followed.overlay / "usr/local/sbin/burnin"
    assert script.read_text().endswith("exec memtester 64M 1\n")
    assert script.stat().st_mode & 0o777 == 0o755


def test_nothing_of_ansible_or_its_python_is_in_the_overlay(followed: Followed) -> None:
    names = [str(path.relative_to(followed.overlay)) for path in followed.overlay.rglob("*")]
    assert not [name for name in names if "ansible" in name.lower() or "python" in name.lower()]
