"""Real builds for tests: the program as a user runs it, and what a build may leave behind."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("imagebuilder")
SUMS = "SHA256SUMS"
_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Site:
    """Where somebody builds: an image tree, its artifact folder, a package cache.

    `before` is put in front of the program's name.
    """

    tree: Path
    builds: Path
    cache: Path
    before: tuple[str, ...] = ()

    def argv(self, *arguments: str, verb: str = "build") -> list[str]:
        """`imagebuilder build ARGUMENTS` here, or another verb."""
        return [*self.before, str(PROGRAM), verb, "--cache", str(self.cache), *arguments]

    def run(self, *arguments: str, verb: str = "build") -> subprocess.CompletedProcess[str]:
        """Build, or do something else, however it ends."""
        argv = self.argv(*arguments, verb=verb)
        return subprocess.run(
            argv,
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=60 * _MINUTES,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def build(self, *arguments: str) -> str:
        """Build, which must succeed; returns what it said."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stderr}"
        return done.stderr

    def lock(self, *arguments: str) -> str:
        """Lock, which must succeed; returns what changed."""
        done = self.run(*arguments, verb="lock")
        assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout


EVERYTHING = """\
- import_playbook: all.yml
- import_playbook: common/initrd_wrapper.yml
  vars: {config_file: vars/initrd_virt.yml}
"""


def default_site(folder: Path, cache: Path) -> Site:
    """A copy of the default tree as a user gets it; its `everything.yml` adds the initrd for virtual machines."""
    tree = folder / "images"
    subprocess.run([PROGRAM, "init", tree], check=True, capture_output=True)
    write_tree(tree, {"everything.yml": EVERYTHING})
    return Site(tree, folder / "builds", cache)


def fresh_cache(folder: Path, packages: Path) -> Path:
    """A cache in which no step has been done yet, with the packages of another."""
    folder.mkdir(parents=True)
    for name in ("apt", "archives"):
        (packages / name).mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(packages / name)
    return folder


def write_tree(root: Path, files: Mapping[str, str]) -> None:
    """Write files by their path below `root`."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def digest_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def listed(builds: Path) -> dict[str, str]:
    """What SHA256SUMS says: digest by name."""
    if not (builds / SUMS).exists():
        return {}
    lines = (builds / SUMS).read_text().splitlines()
    return {name: hex for hex, name in (line.split("  ", 1) for line in lines)}


def artifacts(builds: Path) -> dict[str, str]:
    """Digest by name of every file in an artifact folder, each of which must be as SHA256SUMS lists it."""
    found = {path.name: digest_of(path) for path in builds.iterdir() if path.name not in (SUMS, ".lock")}
    assert found == listed(builds)
    return found


def traces(mark: str) -> list[str]:
    """What is left on this machine of builds whose paths contain `mark`: mounts, loop devices, processes.

    The processes of a namespace that has ended are the kernel's work, which takes a moment.
    """
    deadline = time.monotonic() + 10
    while (left := list(_traces(mark))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _traces(mark: str) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if mark in line:
            yield f"mount: {line}"
    loops = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True).stdout
    yield from (f"loop device: {line}" for line in loops.splitlines() if mark in line)
    for folder in Path("/proc").glob("[0-9]*"):
        if int(folder.name) != os.getpid() and _has_to_do_with(folder, mark):
            yield f"process {folder.name}: {_read(folder / 'cmdline')}"


def _has_to_do_with(process: Path, mark: str) -> bool:
    """Programs of a build have its paths in their arguments, their environment or their private mounts."""
    return any(mark in _read(process / name) for name in ("cmdline", "environ", "mountinfo"))


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:  # it ended meanwhile
        return ""


def initrd_modules(initrd: Path, folder: Path) -> Path:
    """Unpack the kernel modules of an initrd; returns the folder that has `modules/RELEASE`."""
    subprocess.run(["bsdtar", "-C", folder, "-xf", initrd, "modules.squashfs"], check=True)
    image, target = folder / "modules.squashfs", folder / "modules"
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-dest", target, image], check=True)
    return target / "usr/lib"
