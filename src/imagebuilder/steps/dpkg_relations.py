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


def by_any_name(packages: Iterable[Fields]) -> Mapping[str, list[Fields]]:
    """Packages by their own name and by those that they provide."""
    found: dict[str, list[Fields]] = {}
    for fields in packages:
        for name in dict.fromkeys((fields["Package"], *(p.name for p in relations(fields, "Provides")))):
            found.setdefault(name, []).append(fields)
    return found


def met_by(relation: Relation, packages: Mapping[str, list[Fields]]) -> Iterator[Fields]:
    """The packages, of those `by_any_name`, that a relation means."""
    for fields in packages.get(relation.name, ()):
        if fields["Package"] == relation.name:
            versions = [fields["Version"]]
        else:  # a provided name has a version only if one is said
            versions = [p.version for p in relations(fields, "Provides") if p.name == relation.name]
        if any(relation.accepts(version) for version in versions if version or not relation.operator):
            yield fields


def needed(start: Iterable[str], packages: Iterable[Fields]) -> frozenset[str]:
    """The names of all of `packages` that those named `start` come down to, by Depends and Pre-Depends."""
    index = by_any_name(packages)
    found: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            (fields,) = (fields for fields in index[name] if fields["Package"] == name)
            for relation in relations(fields, "Pre-Depends", "Depends"):
                waiting += [other["Package"] for other in met_by(relation, index)]
    return frozenset(found)


def compare_versions(first: str, second: str) -> int:
    """Below, at or above zero: as `dpkg --compare-versions` orders them."""
    (epoch, upstream, revision), (other_epoch, other_upstream, other_revision) = _parts(first), _parts(second)
    return epoch - other_epoch or _compare(upstream, other_upstream) or _compare(revision, other_revision)


def _parts(version: str) -> tuple[int, str, str]:
    epoch, _, rest = version.partition(":") if ":" in version else ("0", "", version)
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch) if epoch.isdecimal() else 0, upstream, revision


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
