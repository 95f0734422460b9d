"""What is different between two identities of a step (`steps.base.identity`), field by field. Pure."""

from __future__ import annotations

import difflib
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_LONGEST = 60
_HEX_SHOWN = 12
_LABELS = ("name", "dest", "kind")
"""By one of these, items of a list are the same thing before and after: packages, files, actions."""


@dataclass(frozen=True, slots=True)
class Change:
    """A field by its path, with its value before and after as short texts; None is a value that is not there."""

    path: tuple[str, ...]
    before: str | None
    after: str | None

    def __str__(self) -> str:
        where = " > ".join(self.path).removeprefix("actions > ")
        if self.before is None:
            return f"{where}: `{self.after}` is new"
        if self.after is None:
            return f"{where}: `{self.before}` is gone"
        return f"{where}: `{self.before}` -> `{self.after}`"


def differences(before: Any, after: Any, path: tuple[str, ...] = ()) -> Iterator[Change]:
    """What changed between two JSON values, as deep as it can be told."""
    if before == after:
        return
    match before, after:
        case {"sha256": _}, {"sha256": _}:  # one package, whose name is in the path
            yield Change(path, *_package_texts(before, after))
        case {"digest": _}, {"digest": _}:
            yield Change(path, _text(before), _text(after))
        case dict(), dict():
            yield from _in_mappings(before, after, path)
        case list(), list() if _are_labelled(before) and _are_labelled(after):
            yield from _in_mappings(_labelled(before), _labelled(after), path)
        case list(), list():
            yield from _in_lists(before, after, path)
        case str(), str():
            yield Change(path, *_first_difference(before, after))
        case _:
            yield Change(path, _text(before), _text(after))


def _in_mappings(before: Mapping[str, Any], after: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Change]:
    for key in dict.fromkeys((*before, *after)):
        if key not in after:
            yield Change((*path, key), _text(before[key]), None)
        elif key not in before:
            yield Change((*path, key), None, _text(after[key]))
        else:
            yield from differences(before[key], after[key], (*path, key))
    if before == after:  # items of a list, in another order
        yield Change(path, ", ".join(before), ", ".join(after))


def _are_labelled(items: Sequence[Any]) -> bool:
    return all(isinstance(item, dict) and any(label in item for label in _LABELS) for item in items)


def _labelled(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Items by their label; the second of one label is `LABEL #2`."""
    seen: Counter[str] = Counter()
    found: dict[str, Any] = {}
    for item in items:
        label = next(str(item[label]) for label in _LABELS if label in item)
        seen[label] += 1
        found[label if seen[label] == 1 else f"{label} #{seen[label]}"] = item
    return found


def _in_lists(before: Sequence[Any], after: Sequence[Any], path: tuple[str, ...]) -> Iterator[Change]:
    """Items that came, went, or took another's place."""
    old_keys, new_keys = ([json.dumps(item, sort_keys=True) for item in side] for side in (before, after))
    matcher = difflib.SequenceMatcher(a=old_keys, b=new_keys, autojunk=False)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        if kind == "equal":
            continue
        paired = min(i_end - i, j_end - j)
        for old, new in zip(before[i : i + paired], after[j : j + paired], strict=True):
            yield from differences(old, new, path)
        yield from (Change(path, _text(old), None) for old in before[i + paired : i_end])
        yield from (Change(path, None, _text(new)) for new in after[j + paired : j_end])


def _package_texts(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, str]:
    """The versions of two packages, or, if these are equal, their digests."""
    if before.get("version") != after.get("version"):
        return _text(before), _text(after)
    return _text(before["sha256"]), _text(after["sha256"])


def _first_difference(before: str, after: str) -> tuple[str | None, str | None]:
    """Of texts the first line that differs."""
    lines = itertools.zip_longest(before.splitlines(keepends=True), after.splitlines(keepends=True))
    old, new = next((old, new) for old, new in lines if old != new)
    return old and _text(old.rstrip("\n")), new and _text(new.rstrip("\n"))


def _text(value: Any) -> str:
    """A value as a short text: a package's version, the beginning of a digest, a text's first line."""
    match value:
        case {"version": version, "sha256": _}:
            return str(version)
        case {"digest": hexadecimal}:
            return _text(hexadecimal)
        case None:
            return "nothing"
        case str() if len(value) == 64 and not set(value) - set("0123456789abcdef"):
            return value[:_HEX_SHOWN]
        case str():
            first, more, _ = value.partition("\n")
            short = first[:_LONGEST]
            return f"{short} ..." if more or short != first else short
        case _:
            return _text(json.dumps(value, ensure_ascii=False))
