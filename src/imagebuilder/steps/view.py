"""What is at each path of a layer, or of layers on one another, in a form in which two of them are compared.

Everything counts that a node sees but times; ACLs do not count either, because
a squashfs has none. A path is said in a line:

    file 0644 0:0 SHA256 [ATTRIBUTE=HEX ...]
    folder 0755 0:0
    symlink 0:0 -> TARGET
    device 0600 0:0 8:1
    whiteout
"""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagebuilder import digest
from imagebuilder.steps import databases
from imagebuilder.steps.databases import Changes
from imagebuilder.steps.dpkg_database import Fields, read_stanzas
from imagebuilder.steps.layer import Entry, bytes_of

WHITEOUT = "whiteout"
FOLDER = "folder"
_ACLS = "system.posix_acl_"
_FIELDS = ("Package", "Version", "Architecture", "Provides", "Pre-Depends", "Depends", "Conflicts", "Breaks")


@dataclass(frozen=True, slots=True)
class View:
    """By path what is there, in a line, and dpkg's packages, of each what says how it goes with others.

    Without a dpkg database of its own a layer has None for the packages. `changes`
    says what it changed in databases (steps/databases.py); in accounts, where
    nobody knows, all that it has.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[Fields, ...] | None = None
    changes: Changes = field(default_factory=dict)

    def versions(self) -> dict[tuple[str, str], str]:
        """Version by name and architecture."""
        return {(f["Package"], f["Architecture"]): f["Version"] for f in self.packages or ()}


def view_of(entries: Sequence[Entry], changes: Changes | None = None, only: Container[str] | None = None) -> View:
    """The view of one layer, whiteouts and all; of its packages and accounts, and of all paths or `only` of some.

    `changes` are its lists, if it has any.
    """
    contents = {entry.member.inode: entry for entry in entries if entry.member.size}
    wanted = entries if only is None else [entry for entry in entries if entry.path in only]
    paths = {entry.path: _line(entry, contents.get(entry.member.inode, entry)) for entry in wanted}
    names = (*databases.ACCOUNTS, databases.STATUS)
    found = {
        name: bytes_of(contents.get(entry.member.inode, entry))
        for entry in entries
        if entry.kind == "file" and (name := entry.path[1:]) in names
    }
    said = dict(changes or {})
    for name in databases.ACCOUNTS:
        if name in found and not databases.in_turn(said, name):
            said |= databases.whole(name, found[name])
    return View(paths, _packages(found[databases.STATUS]) if databases.STATUS in found else None, said)


def stacked(layers: Iterable[View]) -> View:
    """What is seen where layers lie on one another, bottom first: no whiteouts, databases as the node merges them."""
    paths: dict[str, str] = {}
    packages: tuple[Fields, ...] | None = None
    changes: dict[str, bytes] = {}
    for layer in layers:
        hidden = {
            p for p, line in layer.paths.items() if kind_of(line) != FOLDER and kind_of(paths.get(p, "")) == FOLDER
        }
        if hidden:
            paths = {path: line for path, line in paths.items() if not hidden.intersection(folders_above(path))}
        paths |= layer.paths
        paths = {path: line for path, line in paths.items() if line != WHITEOUT}
        changes |= databases.after(changes, layer.changes)
        if layer.packages is not None:
            said = databases.in_turn(layer.changes, databases.STATUS)
            packages = _changed(packages, [one for _, one in said]) if packages and said else layer.packages
    return View(paths, packages, changes)


def kind_of(line: str) -> str:
    """The kind of what a line tells of."""
    return line.partition(" ")[0]


def ways(old: str, new: str) -> tuple[str, ...]:
    """In what two lines of one path differ, in words; () if in nothing."""
    kind, other = kind_of(old), kind_of(new)
    if kind != other:
        return (f"{kind} -> {other}",)
    if kind == "symlink":
        (owner, _, target), (other_owner, _, other_target) = (line.split(" ", 3)[1:] for line in (old, new))
        pairs = [("owner", owner, other_owner), ("target", target, other_target)]
    else:
        names = ("mode", "owner", *(("content",) if kind == "file" else ("number",) if kind == "device" else ()))
        (_, *words), (_, *other_words) = old.split(" "), new.split(" ")
        pairs = list(zip(names, words, other_words, strict=False))
        pairs.append(("attributes", str(words[len(names) :]), str(other_words[len(names) :])))
    return tuple(
        name if name in ("content", "attributes") else f"{name} {before} -> {after}"
        for name, before, after in pairs
        if before != after
    )


def folders_above(path: str) -> list[str]:
    """The folders that an absolute path lies in, from the root's first on: `/usr`, `/usr/bin`."""
    places = [index for index, letter in enumerate(path) if letter == "/" and index]
    return [path[:place] for place in places]


def _line(entry: Entry, with_content: Entry) -> str:
    member, kind = entry.member, entry.kind
    mode, owner = f"{stat.S_IMODE(member.mode):04o}", f"{member.uid}:{member.gid}"
    match kind:
        case "whiteout":
            return WHITEOUT
        case "symlink":
            return f"symlink {owner} -> {os.fsdecode(bytes_of(with_content))}"
        case "file":
            content = with_content.content
            sha256 = digest.of_file(content) if isinstance(content, Path) else digest.of_bytes(content)
            words = [kind, mode, owner, sha256]
        case "device":
            words = [kind, mode, owner, "{}:{}".format(*member.device)]
        case _:
            words = [kind, mode, owner]
    return " ".join([*words, *(f"{n}={v.hex()}" for n, v in entry.xattrs if not n.startswith(_ACLS))])


def _changed(packages: tuple[Fields, ...], lists: Sequence[bytes]) -> tuple[Fields, ...]:
    """Packages after what lists of changes in dpkg's status say."""
    found = {f"{fields['Package']} {fields['Architecture']}": fields for fields in packages}
    for stanza in (stanza for said in lists for stanza in said.split(b"\n\n") if stanza and stanza[:1] != b"<"):
        is_gone = stanza[:1] == b"-"
        found.pop(os.fsdecode(stanza[1:] if is_gone else databases.stanza_key(stanza)), None)
        if not is_gone:
            found |= {f"{fields['Package']} {fields['Architecture']}": fields for fields in _packages(stanza)}
    return tuple(found.values())


def _packages(status: bytes) -> tuple[Fields, ...]:
    stanzas = read_stanzas(status.decode("utf-8", "replace"))
    present = [f for f in stanzas if f.get("Status", "").endswith(" installed") and "Version" in f and "Package" in f]
    return tuple({name: f.get(name, "") for name in _FIELDS if name in f or name == "Architecture"} for f in present)
