"""A YAML file as the texts of its entries: what is not changed keeps its comments and its form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Pieces:
    """`head` stands before the first entry; an entry's text begins with the comment right above it."""

    head: str
    entries: tuple[str, ...]


def split(text: str, starts: Sequence[int]) -> Pieces:
    """Cut a text where its entries begin; `starts` are their lines, from 1."""
    lines = text.splitlines(keepends=True)
    cuts = [_with_comment(lines, start - 1) for start in starts]
    ends = [*cuts[1:], len(lines)] if cuts else []
    entries = tuple("".join(lines[cut:end]) for cut, end in zip(cuts, ends, strict=True))
    return Pieces("".join(lines[: cuts[0]] if cuts else lines), entries)


def replaced(entry: str, new: str) -> str:
    """An entry's text with another content, between the comment above it and the blank lines below it."""
    lines = entry.splitlines(keepends=True)
    first = next((i for i, line in enumerate(lines) if not line.lstrip().startswith("#")), 0)
    last = len(lines)
    while last > first + 1 and (not lines[last - 1].strip() or lines[last - 1].startswith("#")):
        last -= 1
    return "".join([*lines[:first], new, *lines[last:]])


def dumped(value: Any) -> str:
    """A value as YAML in block style."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _with_comment(lines: Sequence[str], index: int) -> int:
    while index and lines[index - 1].lstrip().startswith("#"):
        index -= 1
    return index


class _Dumper(yaml.SafeDumper):
    """Lists are indented, texts of several lines are blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else '"' if "{{" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
