"""Files that differ between two makings of the same layers: type, mode, owner, time, target, content, attributes."""

from __future__ import annotations

import difflib
import filecmp
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
}
_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")
_TEXT_LIMIT = 1 << 16
_TEXT_LINES = 10
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class PathDifference:
    """A path that is not the same: `how` in words, `detail` in lines worth showing.

    `layer` is the number of the lowest layer in which it differs, `step` the
    step that made that. `files` are both files where their contents differ.
    """

    path: str
    layer: int
    how: tuple[str, ...]
    detail: tuple[str, ...] = ()
    files: tuple[Path, Path] | None = None
    step: str = ""

    def made_by(self, step: str) -> PathDifference:
        """The same, with its step."""
        return replace(self, step=step)


def differences(layers: Sequence[tuple[Path, Path]], *, clamp: int | None) -> tuple[PathDifference, ...]:
    """What differs in the merged view of layers (bottom first), each given by its first and its second making.

    Times are compared up to `clamp` (seconds since 1970), the latest that an
    artifact carries; without one, not at all.
    """
    views = [_view([pair[number] for pair in layers]) for number in (0, 1)]
    found = []
    for path in sorted(views[0].keys() | views[1].keys()):
        places = [view[path] / path if path in view else None for view in views]
        if _how(places[0], places[1], clamp):
            found.append(_lowest(path, layers, clamp))
    return tuple(found)


def _lowest(path: str, layers: Sequence[tuple[Path, Path]], clamp: int | None) -> PathDifference:
    """The difference in the lowest layer that has one: those above it only took it over."""
    shown = f"/{path}"
    for number, pair in enumerate(layers):
        first, second = ((place / path) if os.path.lexists(place / path) else None for place in pair)
        how = _how(first, second, clamp)
        if first and second and "content" in how:
            return PathDifference(shown, number, how, _detail(first, second), (first, second))
        if how:
            return PathDifference(shown, number, how)
    return PathDifference(shown, len(layers) - 1, ("what hides it",))


def _view(layers: Sequence[Path]) -> dict[str, Path]:
    """By path the topmost layer that has it, without what that layer hides of those below."""
    view: dict[str, Path] = {}
    for number, layer in enumerate(layers):
        for path in _walk(layer):
            if number and _hides(layer / path):
                for hidden in [known for known in view if known.startswith(f"{path}/")]:
                    if view[hidden] != layer:
                        del view[hidden]
            view[path] = layer
    return view


def _walk(layer: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(layer):
        inside = os.path.relpath(folder, layer)
        for name in (*folders, *files):
            yield os.path.normpath(os.path.join(inside, name))


def _hides(path: Path) -> bool:
    """Whether nothing of the layers below is seen under a path: no folder, or an opaque one."""
    return not stat.S_ISDIR(path.lstat().st_mode) or any(name in os.listxattr(path) for name in _OPAQUE)


def _how(first: Path | None, second: Path | None, clamp: int | None) -> tuple[str, ...]:
    """The ways in which two files differ, in words; () for none."""
    if first is None or second is None:
        return () if first is second else ("only there the first time",) if first else ("only there the second time",)
    one, other = _facts(first, clamp), _facts(second, clamp)
    ways = [
        f"{name} {one.get(name, 'none')}, then {other.get(name, 'none')}"
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    ]
    regular = one["type"] == other["type"] == "file"
    if regular and not filecmp.cmp(first, second, shallow=False):
        ways.append("content")
    return tuple(ways)


def _facts(path: Path, clamp: int | None) -> dict[str, str]:
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    facts = {
        "type": _KINDS[kind],
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "owner": f"{status.st_uid}:{status.st_gid}",
    }
    if clamp is not None:
        facts["time"] = str(min(int(status.st_mtime), clamp))
    if kind == stat.S_IFREG:
        facts["size"] = str(status.st_size)
    if kind == stat.S_IFLNK:
        facts["target"] = os.readlink(path)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        facts["device"] = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    for name in sorted(os.listxattr(path, follow_symlinks=False)):
        facts[name] = os.getxattr(path, name, follow_symlinks=False).hex()
    return facts


def _detail(first: Path, second: Path) -> tuple[str, ...]:
    """The first lines that differ in two small texts, else where two files begin to differ."""
    if max(file.stat().st_size for file in (first, second)) <= _TEXT_LIMIT:
        try:
            one, other = (file.read_text(encoding="utf-8").splitlines() for file in (first, second))
        except UnicodeDecodeError:
            pass
        else:
            lines = islice(difflib.unified_diff(one, other, lineterm="", n=0), 2, None)  # after the names
            return tuple(islice((line for line in lines if not line.startswith("@@")), _TEXT_LINES))
    return (f"from byte {_first_difference(first, second)} on",)


def _first_difference(first: Path, second: Path) -> int:
    """The offset of the first byte that is not the same in two files that differ."""
    offset = 0
    with first.open("rb") as one, second.open("rb") as other:
        while (chunk := one.read(_CHUNK)) == (against := other.read(_CHUNK)):
            offset += len(chunk)
    same = next((i for i, pair in enumerate(zip(chunk, against, strict=False)) if pair[0] != pair[1]), None)
    return offset + (min(len(chunk), len(against)) if same is None else same)
