"""What the codes of nodes that cannot boot mean: the table of docs/reference/node-errors.md, the one source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from imagebuilder import resources

_ROW = re.compile(r"^\| `(NB-[A-Z-]+)` \| (.*) \| (.*) \|$", re.MULTILINE)
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened, and what to look at; backticks are around what is typed or printed."""

    happened: str
    look_at: str


@cache
def explanations() -> dict[str, Explanation]:
    """By code. Read once."""
    text = (resources.folder("docs") / "reference/node-errors.md").read_text(encoding="utf-8")
    return {code: Explanation(*(_LINK.sub(r"\1", cell) for cell in cells)) for code, *cells in _ROW.findall(text)}
