"""Overlays that cannot be stacked, though the files can: two users with one id, two versions of one package. Pure.

Each overlay tells in its lists (steps/databases.py) what it found and what it
made of it. There is a conflict where two made different things of one record,
unless the upper one found there what the lower one had made, because it was
made on it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from imagebuilder.steps.databases import STATUS, Changes, in_turn, stanza_field, stanza_key

_WHAT = {"etc/passwd": "user", "etc/group": "group", STATUS: "package"}
_GONE = "is gone"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two overlays that cannot be stacked: about which `kind` of thing, by its name, and what each has there.

    `kind` is `user`, `user id`, `group`, `group id` or `package`.
    """

    kind: str
    name: str
    lower: str
    lower_has: str
    upper: str
    upper_has: str

    def __str__(self) -> str:
        return f"{self.kind} `{self.name}`: {self.lower_has} in {self.lower}, {self.upper_has} in {self.upper}"


@dataclass(frozen=True, slots=True)
class _Record:
    """What a list says of one record, in words that can be compared; `before` is what was found there."""

    before: str
    after: str


def stacking_conflicts(overlays: Sequence[tuple[str, Changes]]) -> tuple[Conflict, ...]:
    """What keeps overlays from being stacked, each with its name for messages and its lists, bottom first.

    A base counts as an overlay with all of its records: `databases.recorded(root, an empty folder)`.
    """
    stack = _Stack()
    found: dict[Conflict, None] = {}
    for overlay, changes in overlays:
        for path in _WHAT:
            for kind, said in in_turn(changes, path):
                found |= dict.fromkeys(stack.add(overlay, path, _records(kind, said)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Stack:
    """By file and key what the overlays so far made of a record, and which did."""

    made: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def add(self, overlay: str, path: str, records: Mapping[str, _Record]) -> Iterator[Conflict]:
        """Put an overlay's records on top."""
        what = _WHAT[path]
        for key, record in records.items():
            owner, there = self.made.get((path, key), (overlay, record.before))
            if owner != overlay and there not in (record.before, record.after):
                yield Conflict(what, key.split(" ")[0], owner, there, overlay, record.after)
            self.made[path, key] = (overlay, record.after)
        if path != STATUS:
            yield from self._twice(overlay, path, records)

    def _twice(self, overlay: str, path: str, records: Mapping[str, _Record]) -> Iterator[Conflict]:
        """Ids that an account of this overlay shares with another account of another overlay."""
        new = {record.after: key for key, record in records.items() if record.after not in (_GONE, record.before)}
        for (other_path, other), (owner, number) in self.made.items():
            if other_path == path and owner != overlay and new.get(number, other) != other:
                name = number.removeprefix("id ")
                yield Conflict(f"{_WHAT[path]} id", name, owner, f"`{other}`", overlay, f"`{new[number]}`")


def _records(kind: str, text: bytes) -> dict[str, _Record]:
    """By their keys the records that a list speaks of; what it had not found `is gone` before."""
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    if kind == "stanzas":
        for stanza in filter(None, text.split(b"\n\n")):
            said = os.fsdecode(stanza)
            if said[0] == "<":
                package, architecture, version = (*said[1:].split(" ", 2), "", "")[:3]
                before[f"{package} {architecture}"] = version
            elif said[0] == "-":
                after[said[1:]] = _GONE
            else:
                after[os.fsdecode(stanza_key(stanza))] = os.fsdecode(stanza_field(stanza, b"Version")) or _GONE
    else:
        for said in os.fsdecode(text).splitlines():
            key, _, number, *_ = (*said[1:].split(":"), "", "")
            if said[0] in "<=":
                (before if said[0] == "<" else after)[key] = f"id {number}"
            elif said[0] == "-":
                after[key] = _GONE
    return {key: _Record(before.get(key, _GONE), value) for key, value in after.items()}
