"""What two locks have in different versions, for people and programs to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imagebuilder.resolve.lock import Lock


@dataclass(frozen=True, slots=True)
class Change:
    """A package of an image, its version before and after; None where it is not there."""

    image: str
    package: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"  + {self.package} {self.after}"
        return (
            f"  - {self.package} {self.before}"
            if self.after is None
            else f"  {self.package} {self.before} -> {self.after}"
        )


def changes(old: Lock | None, new: Lock) -> tuple[Change, ...]:
    """Every package that came, went or changed, by image and name."""
    before, after = _versions(old) if old else {}, _versions(new)
    return tuple(_changes(before, after))


def _changes(before: Mapping[tuple[str, str], str], after: Mapping[tuple[str, str], str]) -> Iterator[Change]:
    for image, package in sorted({*before, *after}):
        was, is_now = before.get((image, package)), after.get((image, package))
        if was != is_now:
            yield Change(image, package, was, is_now)


def _versions(lock: Lock) -> dict[tuple[str, str], str]:
    """Version by image and package; a package of a foreign architecture has it in its name."""
    parts = {name: image.packages.debs for name, image in lock.images.items()}
    parts |= {"the tree's kernel": lock.kernel.debs, "Python for Ansible": lock.python}
    native = ("all", lock.settings["debootstrap_arch"])
    return {
        (part, deb.name if deb.architecture in native else f"{deb.name}:{deb.architecture}"): deb.version
        for part, debs in parts.items()
        for deb in debs
    }
