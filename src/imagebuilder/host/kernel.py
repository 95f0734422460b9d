"""libc's system calls that Python 3.11 lacks: mount, umount2, unshare, prctl, syncfs.

Numbers are from the Linux UAPI headers (linux/mount.h, linux/sched.h, linux/prctl.h).
"""

from __future__ import annotations

import ctypes
import functools
import os
from enum import IntFlag
from pathlib import Path


class MountFlag(IntFlag):
    """The MS_* flags that we use."""

    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    NOATIME = 1024
    NODIRATIME = 2048
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18
    RELATIME = 1 << 21


class CloneFlag(IntFlag):
    """The CLONE_NEW* flags that we use."""

    NEWNS = 0x00020000
    NEWPID = 0x20000000
    NEWNET = 0x40000000


_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)


@functools.cache
def is_root_of_the_machine() -> bool:
    """Whether this process is root, and so everywhere, not in a user namespace (user_namespaces(7)) only."""
    return os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]


def mount(source: str, target: str, fstype: str = "", flags: MountFlag = MountFlag(0), data: str = "") -> None:
    """mount(2). Raises OSError with the target as its filename."""
    encoded = [os.fsencode(text) for text in (source, target, fstype)]
    _check(_libc.mount(*encoded, int(flags), os.fsencode(data)), target)


def unmount(target: str) -> None:
    """umount2(2) with MNT_DETACH: gone from view now, freed with its last user."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), target)


def unshare(flags: CloneFlag) -> None:
    """unshare(2)."""
    _check(_libc.unshare(int(flags)), "")


def sync_file_system(path: Path) -> None:
    """syncfs(2): all that was written to the file system of the folder `path` is on disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check(_libc.syncfs(folder), str(path))
    finally:
        os.close(folder)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send `signal_number` to this process when its parent is gone."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0), "")


def _check(result: int, name: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name or None)
