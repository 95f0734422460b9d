"""The files of many packages straight into a root, several packages side by side.

What dpkg does with a path, this does as well: a folder that is there already
(or a link to one) stays as it is, also where a package has a link in its place;
of a folder that several packages bring, the first package's owner and mode
count. What is excluded or diverted goes nowhere or elsewhere. Links of the root
are followed inside the root, never out of it. Nothing is synced to disk.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tarfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.deb_archive import open_data
from imagebuilder.steps.files import resolve
from imagebuilder.steps.path_filter import PathFilter, path_filter

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Unpacking:
    """A package file to extract.

    `hashed`: files whose md5 is wanted, `all_hashed`: that of every file;
    `diverted`: other places of paths.
    """

    deb: Path
    hashed: Collection[str] = ()
    all_hashed: bool = False
    diverted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a package holds: all its paths in their order (`/.` first).

    `files` are those that now are files or links of its own, `hashes` the md5
    of those that were to be hashed.
    """

    paths: tuple[str, ...]
    files: tuple[str, ...]
    hashes: Mapping[str, str]


def unpack(machine: Machine, debs: Sequence[Deb], folder: Path, wanted: Iterable[str] = ("*",)) -> None:
    """Lay the files of packages over each other in `folder`: those whose paths match one of the patterns `wanted`."""
    machine.progress(f"unpacking {len(debs)} packages", sum(deb.size for deb in debs))
    packages = [Unpacking(machine.archive(deb.file_name)) for deb in debs]
    extract(folder, packages, path_filter(["path-exclude=*", *(f"path-include={pattern}" for pattern in wanted)]))


def extract(root: Path, packages: Sequence[Unpacking], excluded: PathFilter) -> tuple[Unpacked, ...]:
    """Extract packages into `root`; returns what each holds.

    Raises ImagebuilderError for a device or anything else that no package should hold.
    """
    folders = _Folders(root)
    # The largest first, so that no thread is left alone with it at the end.
    order = sorted(range(len(packages)), key=lambda i: -packages[i].deb.stat().st_size)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        futures = {i: pool.submit(_Extraction(folders, packages[i], excluded, i).run) for i in order}
        unpacked = tuple(futures[i].result() for i in range(len(packages)))
    folders.finish()
    return unpacked


class _Folders:
    """Where the folders of a root really are, and those that were made in it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.owned = os.geteuid() == 0
        """Whether files get the owners that they are packed with: as with tar, root's do."""
        self._places: dict[str, str] = {"/": str(root)}
        self._made: dict[str, tuple[int, tarfile.TarInfo | None]] = {}
        self._lock = Lock()

    def place(self, path: str) -> str:
        """The host's path of a folder, made if missing, links taken inside the root."""
        if place := self._places.get(path):
            return place
        with self._lock:
            return self._place(path)

    def claim(self, path: str, rank: int, member: tarfile.TarInfo) -> None:
        """Have a folder; if it was not there before, it gets owner and mode of the claim of the lowest rank."""
        place = self.place(path)
        with self._lock:
            if place in self._made and rank < self._made[place][0]:
                self._made[place] = (rank, member)

    def finish(self) -> None:
        """Give all folders that were made what they were claimed with: their times change while they are filled."""
        for place, (_, member) in self._made.items():
            if member:
                if self.owned:
                    os.chown(place, member.uid, member.gid)
                os.chmod(place, stat.S_IMODE(member.mode))
                os.utime(place, (member.mtime, member.mtime))

    def _place(self, path: str) -> str:
        known = self._places.get(path)
        if known:
            return known
        above, _, name = path.rpartition("/")
        place = f"{self._place(above or '/')}/{name}"
        if os.path.islink(place):
            place = str(resolve(self._root, PurePosixPath("/", os.path.relpath(place, self._root))))
        if not os.path.isdir(place):
            os.makedirs(place, 0o755)
            self._made[place] = (sys.maxsize, None)
        self._places[path] = place
        return place


@dataclass(frozen=True, slots=True)
class _Extraction:
    """One package on its way into the root; `rank` is its number among all."""

    folders: _Folders
    package: Unpacking
    excluded: PathFilter
    rank: int

    def run(self) -> Unpacked:
        paths: list[str] = []
        files: list[str] = []
        hashes: dict[str, str] = {}
        with open_data(self.package.deb) as tar:
            for member in tar:
                path = _path(member.name)
                paths.append(path or "/.")
                if not path or self.excluded.skips(path, leads=member.isdir() or member.issym()):
                    continue
                if member.isdir():
                    self.folders.claim(path, self.rank, member)
                    continue
                place = self._place(path)
                if content := tar.extractfile(member) if member.isreg() else None:
                    hashed = self.package.all_hashed or path in self.package.hashed
                    if digest := self._write(place, member, content, hashed=hashed):
                        hashes[path] = digest
                elif not self._link(place, member):
                    continue
                elif member.islnk() and self.package.all_hashed:
                    hashes[path] = hashes[_path(member.linkname)]
                files.append(path)
        return Unpacked(tuple(paths), tuple(files), hashes)

    def _place(self, path: str) -> str:
        folder, _, name = self.package.diverted.get(path, path).rpartition("/")
        return f"{self.folders.place(folder or '/')}/{name}"

    def _write(self, place: str, member: tarfile.TarInfo, content: IO[bytes], *, hashed: bool) -> str:
        """A regular file; returns its md5 if it is `hashed`."""
        digest = hashlib.md5(usedforsecurity=False) if hashed else None
        _unlink(place)
        with open(place, "xb") as target:
            while chunk := content.read(_CHUNK):
                target.write(chunk)
                if digest:
                    digest.update(chunk)
            target.flush()
            if self.folders.owned:
                os.fchown(target.fileno(), member.uid, member.gid)
            os.fchmod(target.fileno(), stat.S_IMODE(member.mode))  # after the owner, whose change takes setuid away
            os.utime(target.fileno(), (member.mtime, member.mtime))
        return digest.hexdigest() if digest else ""

    def _link(self, place: str, member: tarfile.TarInfo) -> bool:
        """A link of either kind; False where a folder is in its place already."""
        if member.islnk():
            _unlink(place)
            os.link(self._place(_path(member.linkname)), place, follow_symlinks=False)
        elif not member.issym():
            raise ImagebuilderError(f"{self.package.deb.name} holds a device or a pipe, `{_path(member.name)}`")
        elif os.path.isdir(place) and not os.path.islink(place):
            return False
        else:
            _unlink(place)
            os.symlink(member.linkname, place)
            if self.folders.owned:
                os.chown(place, member.uid, member.gid, follow_symlinks=False)
            os.utime(place, (member.mtime, member.mtime), follow_symlinks=False)
        return True


def _path(name: str) -> str:
    """A member's absolute path, "" for the root itself. Raises ImagebuilderError for a path that leads out."""
    path = "/" + name.removeprefix("./").strip("/")
    if "/../" in f"{path}/" or "\n" in path:
        raise ImagebuilderError(f"a package holds the path `{name!r}`")
    return "" if path in ("/", "/.") else path


def _unlink(place: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(place)
