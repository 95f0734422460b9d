"""What differs between two images, two artifact folders or two files: layers, their packages, their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagebuilder.engine.parts import Part
from imagebuilder.engine.unpacked import is_archive, opened
from imagebuilder.steps.view import View, view_of, ways


@dataclass(frozen=True, slots=True)
class Change:
    """A package that differs: `old` and `new` are versions, "" where it is not there."""

    package: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path that differs: `old` and `new` are lines as `steps.view` has them, "" where it is not there."""

    path: str
    old: str
    new: str

    @property
    def how(self) -> tuple[str, ...]:
        """In what both differ, in words."""
        return ways(self.old, self.new) if self.old and self.new else ()


@dataclass(frozen=True, slots=True)
class LayerDifference:
    """A layer that both have, or one of them ("" for the other's title).

    `changes` is None when the packages of one side are not known, `files` when
    there is only one side, or no archive.
    """

    old: str
    new: str
    equal: bool
    changes: tuple[Change, ...] | None
    files: tuple[FileChange, ...] | None = None


def compare(old: Sequence[Part], new: Sequence[Part]) -> tuple[LayerDifference, ...]:
    """Layer by layer: those of one name are compared, then those of one kind in their order; a file with a file.

    Raises UserError for a layer that is damaged.
    """
    return tuple(_difference(one, other) for one, other in _pairs(old, new))


def _pairs(old: Sequence[Part], new: Sequence[Part]) -> Iterator[tuple[Part | None, Part | None]]:
    partners: dict[Part, Part] = {old[0]: new[0]} if len(old) == len(new) == 1 else {}
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
        return LayerDifference(*titles, equal=True, changes=(), files=())
    views = [_view(old), _view(new)] if old and new and is_archive(old.file) and is_archive(new.file) else []
    versions = [_versions(part, views[number] if views else None) for number, part in enumerate((old, new))]
    changes = None if versions[0] is None or versions[1] is None else _changed(versions[0], versions[1])
    files = _changed(views[0].paths, views[1].paths) if views else None
    return LayerDifference(
        *titles,
        equal=False,
        changes=None if changes is None else tuple(Change(*change) for change in changes),
        files=None if files is None else tuple(FileChange(*change) for change in files),
    )


def _view(part: Part) -> View:
    with opened(part.file) as found:
        return view_of(found.entries)


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """What has other values, or is only in one of them ("" for the other)."""
    return [
        (key, before.get(key, ""), after.get(key, ""))
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _versions(part: Part | None, view: View | None) -> Mapping[str, str] | None:
    """Version by package, those of several architectures as dpkg writes them (`libc6:i386`); None if nobody knows.

    What the store has is of the layer alone; else there is dpkg's whole database.
    """
    if part is None:
        return {}
    if part.packages is not None:
        found = {(p.identity.name, p.identity.architecture): p.identity.version for p in part.packages.packages}
    elif view is not None and view.packages is not None:
        found = view.versions()
    else:
        return None
    names = [name for name, _ in found]
    return {
        name if names.count(name) == 1 else f"{name}:{architecture}": version
        for (name, architecture), version in found.items()
    }
