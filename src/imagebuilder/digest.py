"""Content identity: sha256 of bytes, files and folders, and of values as canonical JSON."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path


def of_bytes(data: bytes) -> str:
    """The lower-case hex sha256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def of_file(path: Path) -> str:
    """The lower-case hex sha256 of a file's content, read in 1 MiB pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_value(value: object) -> str:
    """The sha256 of a JSON value in canonical form: sorted keys, no spaces, UTF-8."""
    return of_bytes(json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


def of_tree(root: Path) -> str:
    """The sha256 over every name, permission and content under `root` (a folder or one file).

    Modification times, owners and the folder's own place do not count: the
    same role in another checkout is the same role. A link at `root` itself is
    followed, those below it are what they are.
    """
    if not root.is_dir():
        return of_value([_entry(root.resolve(), b"")])
    base = os.fsencode(root)
    names = []
    for folder, folders, files in os.walk(base):
        folders.sort()
        names += [os.path.join(folder, name) for name in (*folders, *files)]
    return of_value([_entry(Path(os.fsdecode(n)), os.path.relpath(n, base)) for n in sorted(names)])


def _entry(path: Path, name: bytes) -> list[str]:
    status = path.lstat()
    shown = name.decode("utf-8", "backslashreplace")
    if stat.S_ISLNK(status.st_mode):
        return [shown, "link", os.readlink(os.fsencode(path)).decode("utf-8", "backslashreplace")]
    if stat.S_ISDIR(status.st_mode):
        return [shown, "dir"]
    executable = "x" if status.st_mode & 0o111 else "-"
    return [shown, executable, of_file(path)]
