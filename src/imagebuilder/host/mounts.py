"""Mounts as context managers: one owner each, gone at the end of the block."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagebuilder.host.command import Command, run
from imagebuilder.host.kernel import MountFlag, mount, unmount

# What a captured upperdir must not contain: renames and copies that exist only as an attribute.
_OVERLAY_OPTIONS = "redirect_dir=off,metacopy=off,index=off,xino=off"


@contextmanager
def mounted(
    source: str, target: Path, fstype: str = "", flags: MountFlag = MountFlag(0), data: str = ""
) -> Iterator[Path]:
    """mount(2) for the time of the block; `target` is made if missing."""
    target.mkdir(parents=True, exist_ok=True)
    mount(source, str(target), fstype, flags, data)
    try:
        yield target
    finally:
        unmount(str(target))


@contextmanager
def overlay(lower: Sequence[Path], upper: Path | None, work: Path, target: Path) -> Iterator[Path]:
    """The merged view of `lower` (bottom first) and, if given, a writable `upper`."""
    layers = ":".join(map(_option, reversed(lower)))
    data = f"lowerdir={layers},{_OVERLAY_OPTIONS}"
    if upper is not None:
        work.mkdir(parents=True, exist_ok=True)
        # volatile: programs in a build wait for a disk again and again, where only the finished whole matters.
        data += f",upperdir={_option(upper)},workdir={_option(work)},volatile"
    elif len(lower) == 1:
        with mounted(str(lower[0]), target, flags=MountFlag.BIND):
            yield target
        return
    with mounted("overlay", target, "overlay", data=data):
        yield target


def _option(path: Path) -> str:
    """A path in an overlay's mount options: what separates options and layers is escaped."""
    return re.sub(r"([\\:,])", r"\\\1", str(path))


@contextmanager
def bind(source: Path, target: Path, *, read_only: bool) -> Iterator[Path]:
    """Show `source` (a folder or file) at `target` as well; `target` is made if missing, below existing folders."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():  # to touch a file of a lower layer would copy it up
            target.touch()
    mount(str(source), str(target), flags=MountFlag.BIND | MountFlag.REC)
    try:
        if read_only:
            flags = MountFlag.REMOUNT | MountFlag.BIND | MountFlag.RDONLY
            mount("none", str(target), flags=flags)
        yield target
    finally:
        unmount(str(target))


@contextmanager
def squashfs(image: Path, target: Path) -> Iterator[Path]:
    """A squashfs, read-only, through a loop device that the kernel frees with the mount."""
    target.mkdir(parents=True, exist_ok=True)
    run(Command(("mount", "-t", "squashfs", "-o", "loop,ro", str(image), str(target))))
    try:
        yield target
    finally:
        unmount(str(target))
