"""dpkg's path-exclude and path-include: which of a package's paths are unpacked (dpkg(1)).

The last pattern that matches a path decides. A folder or link that is excluded
is there all the same when it may lead to something that is included.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_OPTION = re.compile(r"^\s*path-(exclude|include)\s*[=\s]\s*(.*?)\s*$")
_WILDCARD = re.compile(r"[*?[\\]")


@dataclass(frozen=True, slots=True)
class PathFilter:
    """Groups of patterns, the last one first, each with whether it includes; what an included path begins with."""

    groups: tuple[tuple[bool, re.Pattern[str]], ...] = ()
    leading: tuple[str, ...] = ()

    def skips(self, path: str, *, leads: bool) -> bool:
        """Whether `path` (absolute, as the package names it) stays out; `leads` for a folder or a link."""
        for includes, pattern in self.groups:
            if pattern.fullmatch(path):
                return not includes and not (leads and path.startswith(self.leading))
        return False


def path_filter(options: Iterable[str]) -> PathFilter:
    """The filter that lines of dpkg's configuration (`path-exclude=/usr/share/man/*`) make, in their order."""
    found = [(match[1] == "include", match[2]) for match in map(_OPTION.match, options) if match]
    groups = [
        (includes, re.compile("|".join(_regex(pattern) for _, pattern in rules), re.DOTALL))
        for includes, rules in itertools.groupby(found, key=lambda rule: rule[0])
    ]
    return PathFilter(tuple(reversed(groups)), tuple(_fixed(pattern) for includes, pattern in found if includes))


def _fixed(pattern: str) -> str:
    """What a pattern begins with in any case; an excluded folder whose path begins so is kept, as dpkg does."""
    return _WILDCARD.split(pattern, maxsplit=1)[0].rstrip("/")


def _regex(pattern: str) -> str:
    """fnmatch(3) without flags: wildcards match a slash, too, and a backslash takes the next sign as it is."""
    parts: Sequence[str] = re.findall(r"\\.|\[[!^]?\]?[^]]*\]|.", pattern, re.DOTALL)
    return "".join(map(_part, parts))


def _part(part: str) -> str:
    match part:
        case "*":
            return ".*"
        case "?":
            return "."
        case _ if len(part) > 2 and part.startswith("["):
            negated = "^" if part[1] in "!^" else ""
            return "[" + negated + re.sub(r"([\\\[])", r"\\\1", part[1 + len(negated) : -1]) + "]"
        case _:
            return re.escape(part[-1])
