"""What of an old tree is read as something else, to be told to its owner."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from imagebuilder.errors import Location


@dataclass(frozen=True, slots=True)
class Change:
    """`old`, which stands at `location`, is read as `new`.

    `refused`: today's Ansible would not take the old form, or would take it
    for something else; if not, only `migrate` speaks of it.
    """

    location: Location
    old: str
    new: str
    refused: bool = True

    def __str__(self) -> str:
        return f"{self.location}: {self.old}; today {self.new}"


def summary(changes: Iterable[Change]) -> tuple[str, ...]:
    """One sentence for each kind of construct, at the first place where it stands."""
    first: dict[tuple[str, str], Change] = {}
    count: dict[tuple[str, str], int] = {}
    for change in changes:
        if change.refused:
            kind = (change.old, change.new)
            first.setdefault(kind, change)
            count[kind] = count.get(kind, 0) + 1
    return tuple(
        f"{change} (and {more} more)" if (more := count[kind] - 1) else str(change) for kind, change in first.items()
    )
