"""Mounts as context managers: one owner each, gone at the end of the block."""

from __future__ import annotations

import functools
import operator
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from imagebuilder.host.kernel import MountFlag, is_root_of_the_machine, mount, unmount

# What a captured upperdir must not contain: renames and copies that exist only as an attribute.
_OVERLAY_OPTIONS = "index=off,xino=off,redirect_dir=off,metacopy=off"
# In a user namespace the overlay's marks are attributes `user.overlay.*`, and such references are off by themselves.
_USER_OVERLAY_OPTIONS = "index=off,xino=off,userxattr"
# What a mount has from where it was made may not be taken off it in a user namespace: statvfs(3), mount(2).
_KEPT_FLAGS = {
    os.ST_NOSUID: MountFlag.NOSUID,
    os.ST_NODEV: MountFlag.NODEV,
    os.ST_NOEXEC: MountFlag.NOEXEC,
    os.ST_NOATIME: MountFlag.NOATIME,
    os.ST_NODIRATIME: MountFlag.NODIRATIME,
    os.ST_RELATIME: MountFlag.RELATIME,
}


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


def overlay_options() -> str:
    """How overlays are mounted, whatever their layers."""
    return _OVERLAY_OPTIONS if is_root_of_the_machine() else _USER_OVERLAY_OPTIONS


@contextmanager
def overlay(lower: Sequence[Path], upper: Path | None, work: Path, target: Path) -> Iterator[Path]:
    """The merged view of `lower` (bottom first) and, if given, a writable `upper`."""
    layers = ":".join(map(_option, reversed(lower)))
    data = f"lowerdir={layers},{overlay_options()}"
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
            mount("none", str(target), flags=flags | _kept_flags(target))
        yield target
    finally:
        unmount(str(target))


def _kept_flags(target: Path) -> MountFlag:
    found = os.statvfs(target).f_flag
    return functools.reduce(operator.or_, (flag for bit, flag in _KEPT_FLAGS.items() if found & bit), MountFlag(0))
