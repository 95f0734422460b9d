"""Files of the image tree, or literal texts, into a root."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import ClassVar

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.steps.base import Action, Source


@dataclass(frozen=True, slots=True)
class FileCopy:
    """One file or folder: from the tree (`source`) or a literal `text`, to `dest` (absolute, in the root).

    `mode` None keeps the source's permissions (0644 for a text); owner and
    group are names or numbers that the root knows. In a folder they hold for
    everything in it, `mode` for its files. A `source` that is a link is followed;
    links in a folder are copied as links.
    """

    dest: str
    source: Source | None = None
    text: str | None = None
    mode: int | None = None
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True)
class CopyFiles(Action):
    """Copy `files` in order. Symbolic links of the root are followed inside the root, never out of it."""

    kind: ClassVar[str] = "files"

    files: tuple[FileCopy, ...] = field(default=())

    def run(self, machine: Machine, root: Chroot) -> None:
        """Write every file with its owner and mode."""
        machine.progress(f"copying {len(self.files)} files")
        for copy in self.files:
            owner = (
                _number(root.path / "etc/passwd", copy.owner, copy.dest),
                _number(root.path / "etc/group", copy.group, copy.dest),
            )
            if copy.source is None:
                _write(root.path, copy.dest, (copy.text or "").encode(), _mode_of(copy, 0o644), owner)
            elif copy.source.path.is_dir():
                _copy_folder(root.path, copy, copy.source.path, owner)
            else:
                _copy_file(root.path, copy, copy.dest, copy.source.path.resolve(), owner)


def _mode_of(copy: FileCopy, default: int) -> int:
    return default if copy.mode is None else copy.mode


def _copy_folder(root: Path, copy: FileCopy, source: Path, owner: tuple[int, int]) -> None:
    _make_folder(root, PurePosixPath(copy.dest).parent, (0, 0))
    for folder, folders, files in os.walk(source):
        folders.sort()
        here = PurePosixPath(copy.dest) / Path(folder).relative_to(source)
        _make_folder(root, here, owner)
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*linked, *files]):
            _copy_file(root, copy, str(here / name), Path(folder) / name, owner)


def _copy_file(root: Path, copy: FileCopy, dest: str, source: Path, owner: tuple[int, int]) -> None:
    if source.is_symlink():
        target = _inside(root, PurePosixPath(dest))
        target.unlink(missing_ok=True)
        target.symlink_to(os.readlink(source))
        os.lchown(target, *owner)
        return
    # Only the executable bit of a checkout means something: its other bits are the umask of whoever made it.
    kept = 0o755 if source.stat().st_mode & 0o111 else 0o644
    _write(root, dest, source.read_bytes(), _mode_of(copy, kept), owner)


def _write(root: Path, dest: str, content: bytes, mode: int, owner: tuple[int, int]) -> None:
    _make_folder(root, PurePosixPath(dest).parent, (0, 0))
    target = _inside(root, PurePosixPath(dest))
    target.unlink(missing_ok=True)
    target.write_bytes(content)
    os.chown(target, *owner)
    target.chmod(mode)


def _make_folder(root: Path, path: PurePosixPath, owner: tuple[int, int]) -> None:
    place = resolve(root, path)
    for folder in [*reversed(place.parents), place]:
        if folder.is_relative_to(root) and not folder.is_dir():
            folder.mkdir()
            folder.chmod(0o755)
            os.chown(folder, *owner)


def _inside(root: Path, path: PurePosixPath) -> Path:
    """Where `path` is, its folders' links followed inside the root, its own link not."""
    return resolve(root, path.parent) / path.name


def resolve(root: Path, path: PurePosixPath) -> Path:
    """The host's path of an absolute path in `root`, every symbolic link taken as the root itself would.

    Raises ImagebuilderError for a loop of links.
    """
    parts = list(path.parts[1:])
    place: list[str] = []
    followed = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            place = place[:-1]
            continue
        here = root.joinpath(*place, part)
        if not stat.S_ISLNK(_mode(here)):
            place.append(part)
            continue
        followed += 1
        if followed > 40:  # the kernel's own limit
            raise ImagebuilderError(f"`{path}` leads through too many symbolic links")
        target = PurePosixPath(os.readlink(here))
        if target.is_absolute():
            place = []
        parts = [*target.relative_to(target.anchor).parts, *parts]
    return root.joinpath(*place)


def _mode(path: Path) -> int:
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0


def _number(database: Path, name: str, dest: str) -> int:
    """The uid or gid of a name in the root's own /etc/passwd or /etc/group."""
    if name.isdigit():
        return int(name)
    lines = database.read_text().splitlines() if database.exists() else []
    numbers = [int(fields[2]) for fields in (line.split(":") for line in lines) if fields[0] == name]
    if numbers:
        return numbers[0]
    if name == "root":
        return 0
    raise ImagebuilderError(
        f"`{name}`, the owner or group of {dest}, is not in the image's /{database.parent.name}/{database.name}",
        hint="`packages` come before `files`, `run` after them: make the user in a package or role, or chown in `run`",
    )
