"""How packages relate to each other: versions and relationship fields (Debian Policy 5.6.12, chapter 7)."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from imagebuilder.steps.dpkg_database import Fields

_RELATION = re.compile(r"([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^\s)]+)\s*\))?")
_OPERATORS: Mapping[str, Callable[[int, int], bool]] = {
    "<<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">>": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Relation:
    """`name`, or `name (<< version)`."""

    name: str
    operator: str = ""
    version: str = ""

    def accepts(self, version: str) -> bool:
        """Whether a package of this name and `version` is meant."""
        return not self.operator or _OPERATORS[self.operator](compare_versions(version, self.version), 0)


def clauses(fields: Fields, *names: str) -> Iterator[tuple[Relation, ...]]:
    """What the named fields ask for, each with its alternatives (`a | b`)."""
    for name in names:
        for text in fields.get(name, "").split(","):
            matches = [_RELATION.match(part.strip()) for part in text.split("|")]
            if found := tuple(Relation(m[1], m[2] or "", m[3] or "") for m in matches if m):
                yield found


def relations(fields: Fields, *names: str) -> Iterator[Relation]:
    """The same, alternatives one by one."""
    for clause in clauses(fields, *names):
        yield from clause


def meets(relation: Relation, fields: Fields, *, virtual: bool) -> bool:
    """Whether a relation means this package, `virtual`: also by a name that it provides."""
    if fields["Package"] == relation.name:
        return relation.accepts(fields["Version"])
    if not virtual:
        return False
    provided = [p for p in relations(fields, "Provides") if p.name == relation.name]
    return any(not relation.operator or (p.version and relation.accepts(p.version)) for p in provided)


def needed(start: Iterable[str], packages: Mapping[str, Fields]) -> frozenset[str]:
    """The packages of `packages` that those named `start` come down to, by Depends and Pre-Depends."""
    providers: dict[str, list[str]] = {}
    for name, fields in packages.items():
        for provided in relations(fields, "Provides"):
            providers.setdefault(provided.name, []).append(name)
    found: set[str] = set()
    waiting = [name for name in start if name in packages]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            for relation in relations(packages[name], "Pre-Depends", "Depends"):
                waiting += [relation.name] if relation.name in packages else providers.get(relation.name, [])
    return frozenset(found)


def compare_versions(first: str, second: str) -> int:
    """Below, at or above zero: as `dpkg --compare-versions` orders them."""
    (epoch, upstream, revision), (other_epoch, other_upstream, other_revision) = _parts(first), _parts(second)
    return epoch - other_epoch or _compare(upstream, other_upstream) or _compare(revision, other_revision)


def _parts(version: str) -> tuple[int, str, str]:
    epoch, _, rest = version.partition(":") if ":" in version else ("0", "", version)
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), upstream, revision


def _compare(first: str, second: str) -> int:
    """Runs of other signs and of digits in turn; digits count as numbers, other signs in Debian's own order."""
    pattern = re.compile(r"(\D*)(\d*)")
    for (text, digits), (other_text, other_digits) in zip_longest(
        pattern.findall(first), pattern.findall(second), fillvalue=("", "")
    ):
        ours, theirs = _weights(text), _weights(other_text)
        if ours != theirs:
            return -1 if ours < theirs else 1
        if difference := int(digits or 0) - int(other_digits or 0):
            return difference
    return 0


def _weights(text: str) -> list[int]:
    """A tilde sorts before the end, the end before letters, letters before all else."""
    return [*(-1 if sign == "~" else ord(sign) + (0 if sign.isalpha() else 256) for sign in text), 0]
