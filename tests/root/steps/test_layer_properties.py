"""Whatever is done on an overlay mount, the node sees the same: random trees and changes, and the real kernel twice."""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from imagebuilder.engine.node_changes import SCRIPT, read_sockets, read_stack
from imagebuilder.engine.unpacked import opened
from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry, Listed, bytes_of, capture, clamped, meant, settle
from imagebuilder.steps.overlay import PackOverlay
from imagebuilder.steps.unpack import upper_from_tar
from layer_node import Node, node, view
from machine import PlainMachine

pytestmark = pytest.mark.root

EPOCH = 1_700_000_000
LONG_AGO = 1_600_000_000

TOGETHER = 5
"""Cases in one example."""
NAMES = (b"a", b"b", b"c", b"not \xff utf-8\n")
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep, linux/capability.h
# Version 2; owner rw-, user 5 rwx, group r--, mask rwx, others r-- (linux/posix_acl_xattr.h).
ACL = struct.pack("<I" + "HHI" * 5, 2, 1, 6, 2**32 - 1, 2, 7, 5, 4, 4, 2**32 - 1, 16, 7, 2**32 - 1, 32, 4, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class Operation:
    """Something done to `path`, maybe with `other`; it may fail, as it does for users."""

    what: str
    path: bytes
    other: bytes
    number: int


def _write(path: bytes, other: bytes, number: int) -> None:
    _put(path, os.O_TRUNC, b"%d" % number * 50)


def _append(path: bytes, other: bytes, number: int) -> None:
    _put(path, os.O_APPEND, b"more")


def _put(path: bytes, how: int, data: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | how, 0o644)  # a pipe has no reader here
    os.write(file, data)
    os.close(file)


def _remove(path: bytes, other: bytes, number: int) -> None:
    os.listdir(path)  # of what is no folder, rmtree opens even a pipe
    shutil.rmtree(path)


def _recreate(path: bytes, other: bytes, number: int) -> None:
    _remove(path, other, number)
    os.mkdir(path)


def _replace(path: bytes, other: bytes, number: int) -> None:
    """A folder by a file, anything else by a folder with a file in it."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
        _write(path, other, number)
    else:
        os.unlink(path)
        os.mkdir(path)
        _write(os.path.join(path, b"a"), other, number)


def _rename(path: bytes, other: bytes, number: int) -> None:
    """As mv does: a folder of a lower layer cannot be renamed without redirects, so it is copied."""
    try:
        os.rename(path, other)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.copytree(os.fsdecode(path), os.fsdecode(other), symlinks=True)
        shutil.rmtree(path)


def _xattr(name: str, value: bytes) -> Callable[[bytes, bytes, int], None]:
    return lambda path, other, number: os.setxattr(path, name, value, follow_symlinks=False)


OPERATIONS: Mapping[str, Callable[[bytes, bytes, int], None]] = {
    "write": _write,
    "append": _append,
    "delete": lambda path, other, number: os.unlink(path),
    "remove": _remove,
    "recreate": _recreate,
    "replace": _replace,
    "mkdir": lambda path, other, number: os.makedirs(path),
    "rename": _rename,
    "link": lambda path, other, number: os.link(path, other, follow_symlinks=False),
    "symlink": lambda path, other, number: os.symlink(other, path),
    "chmod": lambda path, other, number: os.chmod(path, (0o755, 0o4711, 0o1777, 0)[number % 4]),
    "chown": lambda path, other, number: os.chown(path, number, 4_000_000_000, follow_symlinks=False),
    "utime": lambda path, other, number: os.utime(path, (number, number), follow_symlinks=False),
    "user": _xattr("user.note", b"value\0\n"),
    "trusted": _xattr("trusted.note", b"x" * 300),
    "setcap": _xattr("security.capability", CAPABILITY),
    "setfacl": _xattr("system.posix_acl_access", ACL),
    "default-acl": _xattr("system.posix_acl_default", ACL),
    "unset": lambda path, other, number: os.removexattr(path, "user.note", follow_symlinks=False),
    "pipe": lambda path, other, number: os.mkfifo(path),
    "device": lambda path, other, number: os.mknod(path, stat.S_IFBLK | 0o660, os.makedev(4000, number)),
    "socket": lambda path, other, number: os.mknod(path, stat.S_IFSOCK | 0o600),
}


def do(root: Path, operations: Sequence[Operation]) -> None:
    top = os.fsencode(root)
    for operation in operations:
        with suppress(OSError, shutil.Error):
            other = operation.other
            if operation.what != "symlink":
                other = os.path.join(top, other)
            OPERATIONS[operation.what](os.path.join(top, operation.path), other, operation.number)


def do_each(root: Path, sequences: Sequence[Sequence[Operation]]) -> None:
    """Do sequences of operations, each in a folder of its own."""
    for number, operations in enumerate(sequences):
        (root / f"{number}").mkdir(exist_ok=True)
        do(root / f"{number}", operations)


def _operations(kinds: Sequence[str], at_most: int) -> st.SearchStrategy[list[Operation]]:
    paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(b"/".join)
    one = st.builds(Operation, st.sampled_from(kinds), paths, paths, st.integers(0, 70_000))
    return st.lists(one, max_size=at_most)


# mksquashfs, which makes bases, knows no ACLs; what makes folders is more likely, so that there are some.
BASE = _operations(["write", "mkdir", "mkdir", "link", "symlink", "chmod", "chown", "user", "setcap", "pipe"], 12)
CHANGES = _operations([*OPERATIONS, "recreate", "mkdir", "replace", "rename"], 14)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("node") / "root") as started:
        yield started


# What a build mounts, with the base as it comes out of a build.
_MOUNT = """
mount -t squashfs -o ro,loop base.file base
options=index=off,xino=off,redirect_dir=off,metacopy=off
mount -t overlay -o $options,lowerdir=base,upperdir=upper,workdir=work overlay merged
"""
_CLEAN = "umount merged base 2>/dev/null; rm -rf /work/*; mkdir tree base merged upper work scratch"


def _check(booted: Node, cases: Sequence[tuple[Sequence[Operation], ...]]) -> None:
    """Change bases as operations say, pack what changed in every format, boot each.

    Each case has a folder of its own, because what takes time is to boot.
    """
    booted.run(f"cd /work; {_CLEAN}")
    work = booted.root / "work"
    bases, changes = zip(*cases, strict=True)
    do_each(work / "tree", bases)
    argv = ("mksquashfs", work / "tree", work / "base.file", "-quiet", "-no-progress", "-comp", "lz4")
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": str(LONG_AGO)})
    booted.run(f"set -e; cd /work; {_MOUNT}")
    do_each(work / "merged", changes)
    expected = view(work / "merged", EPOCH)
    booted.run("umount /work/merged")
    entries = capture(work / "upper", work / "base")
    listed = meant(sent(booted, work / "scratch"), Listed.of(capture(work / "base")))
    assert _values(cpio.number(listed)) == _values(entries)
    settle(work / "upper", entries)
    assert capture(work / "upper") == entries
    for form in ("cpio.gz", "squashfs"):
        packed = work / f"overlay.{form}"
        layers = {"lower": (work / "base",), "upper": (work / "upper",)}
        PackOverlay(form, EPOCH).run(PlainMachine(work / "scratch"), layers, packed)
        assert view(booted.stack(work / "base.file", packed), EPOCH) == expected, form
        with opened(packed) as found:
            assert _values(found.entries) == _values(clamped(entries, EPOCH)), form


# How `imagebuilder capture --node` finds it on a node. Its tar is GNU's, so the root is this machine's.
_SHOW = """
mount -t tmpfs tmpfs /run
mkdir -p /run/imagebuilder/changes/upper
touch /run/imagebuilder/boot.env /run/imagebuilder/stack
mount --bind /mnt/work/upper /run/imagebuilder/changes/upper
exec sh "$1"
"""


def sent(booted: Node, folder: Path) -> list[Entry]:
    """What a node sends of its upperdir, as the receiver reads it."""
    enter = ("nsenter", "--mount", f"--target={booted.shell.pid}", "unshare", "--mount")
    argv = (*enter, "sh", "-ec", _SHOW, "sh", str(SCRIPT))
    done = subprocess.run(argv, capture_output=True, check=True)
    stream = io.BytesIO(done.stdout)
    assert read_stack(stream) == ()
    return [*read_sockets(stream), *upper_from_tar(stream, folder)]


def _values(entries: Sequence[Entry]) -> list[tuple[Member, bytes, tuple[tuple[str, bytes], ...]]]:
    """Entries with their contents: in which file these lie is another matter."""
    return [(entry.member, bytes_of(entry), entry.xattrs) for entry in entries]


@settings(
    max_examples=int(os.environ.get("IMAGEBUILDER_TEST_SEQUENCES", "500")) // TOGETHER,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.tuples(BASE, CHANGES), min_size=TOGETHER, max_size=TOGETHER))
def test_node_sees_what_was_seen_where_it_was_made(booted: Node, cases: list[tuple[list[Operation], ...]]) -> None:
    _check(booted, cases)
