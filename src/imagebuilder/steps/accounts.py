"""Ids of accounts that packages create, given by name and not by turn.

`adduser`, `useradd` and `systemd-sysusers` hand out the next free id. So two
overlays made on one base would give one id to two users, and one user two
ids, and could not be stacked. A name has the same id in every overlay instead;
two names that come to the same one are told apart only where they meet.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagebuilder import digest

_HANDED_OUT = range(100, 1000)
"""For system accounts (Debian policy 9.2.2)."""
_BY_NAME = range(200, 900)
"""Those that programs reach last, who count upwards from 100 or downwards from 999."""
_CAPABILITY = "security.capability"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The ids of a root's users and groups by their names."""

    users: Mapping[str, int]
    groups: Mapping[str, int]

    @classmethod
    def of(cls, root: Path) -> Accounts:
        """Read them; a root without accounts has none."""
        return cls(_ids(root / "etc/passwd"), _ids(root / "etc/group"))


def stable_ids(before: Accounts, now: Accounts) -> dict[str, int]:
    """By the name of each account that is new the id that it should have; a user and its group have the same."""
    new: set[str] = set()
    kept: set[int] = set()
    for old, ids in ((before.users, now.users), (before.groups, now.groups)):
        names = {name for name, number in ids.items() if name not in old and number in _HANDED_OUT}
        new |= names
        kept |= {number for name, number in ids.items() if name not in names}
    found: dict[str, int] = {}
    for name in sorted(new):
        start = int(digest.of_bytes(name.encode())[:8], 16)
        numbers = (_BY_NAME[(start + step) % len(_BY_NAME)] for step in range(len(_BY_NAME)))
        found[name] = next(number for number in numbers if number not in kept)
        kept.add(found[name])
    return found


def renumber(root: Path, before: Accounts) -> None:
    """Give the accounts that are new since `before` their ids, and their files with them."""
    now = Accounts.of(root)
    ids = stable_ids(before, now)
    users = {now.users[name]: number for name, number in ids.items() if name in now.users and name not in before.users}
    groups = {
        now.groups[name]: number for name, number in ids.items() if name in now.groups and name not in before.groups
    }
    if users or groups:
        _rewrite(root / "etc/passwd", {2: users, 3: groups})
        _rewrite(root / "etc/group", {2: groups})
        for path, status in _files(root):
            owner, group = users.get(status.st_uid, status.st_uid), groups.get(status.st_gid, status.st_gid)
            if (owner, group) != (status.st_uid, status.st_gid):
                _give(path, status, owner, group)


def _ids(path: Path) -> dict[str, int]:
    fields = (line.split(":") for line in _text(path).splitlines())
    return {parts[0]: int(parts[2]) for parts in fields if len(parts) > 2 and parts[2].isdigit()}


def _text(path: Path) -> str:
    with suppress(FileNotFoundError):
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    return ""


def _rewrite(path: Path, ids: Mapping[int, Mapping[int, int]]) -> None:
    """Replace ids in a file of accounts; `ids` are old and new ones by the place of their field."""
    lines = []
    for line in _text(path).splitlines():
        fields = line.split(":")
        for place, changed in ids.items():
            if len(fields) > place and fields[place].isdigit():
                fields[place] = str(changed.get(int(fields[place]), fields[place]))
        lines.append(":".join(fields) + "\n")
    path.write_text("".join(lines), encoding="utf-8", errors="surrogateescape")


def _files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Everything in a root, but nothing that is mounted there."""
    device = os.lstat(root).st_dev
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for entry in found:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    if status.st_dev != device:
                        continue
                    waiting.append(entry.path)
                yield entry.path, status


def _give(path: str, status: os.stat_result, owner: int, group: int) -> None:
    """Change the owner alone: the kernel would take set-id bits and capabilities off."""
    capability = None
    with suppress(OSError):
        capability = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    os.chown(path, owner, group, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    if capability is not None:
        os.setxattr(path, _CAPABILITY, capability, follow_symlinks=False)
