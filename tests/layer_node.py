"""A node's initrd that stays: its root in a mount namespace of its own, where its functions are called."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from initrd_shell import make_root

_START = """
mount --bind "$1" /mnt && cd /mnt
for folder in layers run work; do mount -t tmpfs tmpfs $folder; done
for folder in dev proc; do mount --rbind /$folder $folder; done
mkdir -p run/imagebuilder layers/modules
exec chroot . /bin/sh
"""
_LOAD = """
set -u
RUN=/run/imagebuilder
for part in report arguments modules network fetch nodelayer memory layers databases handover; do
    . /usr/lib/imagebuilder/$part.sh
done
log() { echo "nb: $2"; }
fail() { log 3 "error=$1 detail=$2"; exit 99; }
"""
_CLEAR = """
umount /newroot $RUN/changes/upper 2>/dev/null
for place in $(awk '$2 ~ "^/layers/" { print $2 }' /proc/mounts | sort -r); do umount $place; done
rm -rf /layers/[0-9]* /layers/upper /layers/work $RUN/changes
"""


@dataclass(frozen=True, slots=True)
class Node:
    """The shell of the initrd; `root` is how this process sees its files, whatever it has mounted."""

    shell: subprocess.Popen[str]
    root: Path

    def run(self, script: str) -> str:
        """Run a script in a subshell and return what it says; it must end well."""
        assert self.shell.stdin
        assert self.shell.stdout
        self.shell.stdin.write(f"(\n{script}\n) 2>&1 </dev/null\necho; echo END $?\n")
        self.shell.stdin.flush()
        said = []
        while not (line := self.shell.stdout.readline()).startswith("END "):
            assert line, "the shell has ended"
            said.append(line)
        assert line == "END 0\n", "".join(said)
        return "".join(said)

    def stack(self, base: Path, *overlays: Path, then: str = "") -> Path:
        """Boot these layers; returns the merged view. What was booted before is gone. `then` is run by the initrd."""
        self.run(_CLEAR)
        for number, file in enumerate((base, *overlays)):
            (self.root / f"layers/{number}.file").write_bytes(file.read_bytes())
        self.run(f"layer_count={1 + len(overlays)}; stack_layers; {then}")
        return self.root / "newroot"


@contextmanager
def node(folder: Path) -> Iterator[Node]:
    """Start one, in `folder`."""
    make_root(folder)
    (folder / "work").mkdir()
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", _START, "sh", str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdin
        shell.stdin.write(_LOAD)
        started = Node(shell, Path(f"/proc/{shell.pid}/root"))
        started.run("true")
        yield started
        shell.stdin.close()


@dataclass(frozen=True, slots=True)
class Seen:
    """What a program sees of a name; `same` is the first name of the same file."""

    mode: str
    owner: tuple[int, int]
    device: int
    mtime: int
    links: int
    same: bytes
    content: bytes
    xattrs: tuple[tuple[str, bytes], ...]


def view(root: Path, latest: int) -> dict[bytes, Seen]:
    """All that a program sees of a tree but sockets and the root's time, with no time after `latest`."""
    seen: dict[bytes, Seen] = {}
    first: dict[tuple[int, int], bytes] = {}
    top = os.fsencode(root)
    waiting = [b"."]
    while waiting:
        name = waiting.pop()
        path = os.path.join(top, name)
        status = os.lstat(path)
        if stat.S_ISSOCK(status.st_mode):
            continue
        content = b""
        if stat.S_ISDIR(status.st_mode):
            waiting += sorted(
                (os.path.normpath(os.path.join(name, inside)) for inside in os.listdir(path)), reverse=True
            )
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            content = Path(os.fsdecode(path)).read_bytes()
        is_file = stat.S_ISREG(status.st_mode)
        seen[name] = Seen(
            stat.filemode(status.st_mode),
            (status.st_uid, status.st_gid),
            status.st_rdev,
            0 if name == b"." else min(int(status.st_mtime), latest),
            status.st_nlink if is_file else 0,
            first.setdefault((status.st_dev, status.st_ino), name) if is_file else b"",
            content,
            _xattrs(path),
        )
    return seen


def _xattrs(path: bytes) -> tuple[tuple[str, bytes], ...]:
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
    except OSError:  # squashfs says so where no file has any
        return ()
    return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
