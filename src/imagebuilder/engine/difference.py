"""What differs between two images, or two artifact folders: layers, and the packages in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagebuilder.engine.parts import Part


@dataclass(frozen=True, slots=True)
class Change:
    """A package that differs: `old` and `new` are versions, "" where it is not there."""

    package: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer that both have, or one of them ("" for the other's title).

    `changes` is None when the packages of one side are not known.
    """

    old: str
    new: str
    equal: bool
    changes: tuple[Change, ...] | None


def compare(old: Sequence[Part], new: Sequence[Part]) -> tuple[LayerDifference, ...]:
    """Layer by layer: those of one name are compared, then those of one kind in their order."""
    return tuple(_difference(one, other) for one, other in _pairs(old, new))


def _pairs(old: Sequence[Part], new: Sequence[Part]) -> Iterator[tuple[Part | None, Part | None]]:
    partners: dict[Part, Part] = {}
    for field in ("title", "kind"):
        for one in old:
            value = getattr(one, field)
            free = [part for part in new if part not in partners.values() and getattr(part, field) == value != ""]
            if one not in partners and free:
                partners[one] = free[0]
    for one in old:
        yield one, partners.get(one)
    for other in new:
        if other not in partners.values():
            yield None, other


def _difference(old: Part | None, new: Part | None) -> LayerDifference:
    titles = (old.title if old else "", new.title if new else "")
    if old and new and old.sha256 == new.sha256:
        return LayerDifference(*titles, equal=True, changes=())
    if any(part and part.packages is None for part in (old, new)):
        return LayerDifference(*titles, equal=False, changes=None)
    before, after = _versions(old), _versions(new)
    changes = [
        Change(name, before.get(name, ""), after.get(name, ""))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return LayerDifference(*titles, equal=False, changes=tuple(changes))


def _versions(part: Part | None) -> Mapping[str, str]:
    """Version by package, those of another architecture as dpkg writes them (`libc6:i386`)."""
    packages = part.packages.packages if part and part.packages else ()
    identities = [package.identity for package in packages]
    names = [identity.name for identity in identities]
    return {
        identity.name
        if names.count(identity.name) == 1
        else f"{identity.name}:{identity.architecture}": identity.version
        for identity in identities
    }
