"""Whether an overlay still goes with layers that it was not made on. Pure.

- It *shadows changed files* where the layers below now have something else than
  when it was made, and its own, which is of that time, hides it.
- Its *packages conflict* where one that it brings, replaces or takes away is
  below in another version, or where all packages together do not go with each other.

Databases that are merged where layers are stacked are told apart: that the
overlay has an old copy of one means nothing there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.steps.dpkg_database import Fields
from imagebuilder.steps.dpkg_relations import by_any_name, clauses, met_by, relations
from imagebuilder.steps.footing import Footing, PackageChange
from imagebuilder.steps.layer import capture
from imagebuilder.steps.view import FOLDER, WHITEOUT, View, kind_of, view_of, ways

DATABASES = (
    "/etc/group",
    "/etc/gshadow",
    "/etc/ld.so.cache",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/shells",
    "/etc/subgid",
    "/etc/subuid",
    "/var/lib/apt/extended_states",
    "/var/lib/dpkg/diversions",
    "/var/lib/dpkg/statoverride",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/status-old",
    "/var/lib/dpkg/triggers/File",
    "/var/lib/dpkg/triggers/Unincorp",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A path or a package, and in a few words what is the matter with it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What stands against an overlay on some layers, and its old copies of databases."""

    shadows: tuple[Finding, ...] = ()
    conflicts: tuple[Finding, ...] = ()
    databases: tuple[Finding, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing does."""
        return not self.shadows and not self.conflicts

    @property
    def verdict(self) -> str:
        """It in words."""
        found = [
            *(["package conflicts"] if self.conflicts else []),
            *(["shadows changed files"] if self.shadows else []),
        ]
        return " and ".join(found) or "fits"

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), indent=0)

    @classmethod
    def from_json(cls, text: str | bytes) -> Fit:
        """Read what `to_json` wrote."""
        value: Mapping[str, Any] = json.loads(text)
        return cls(*(tuple(Finding(**one) for one in value[name]) for name in ("shadows", "conflicts", "databases")))


def check(footing: Footing, layer: View, ground: View) -> Fit:
    """Whether the overlay that is `layer`, and was made on `footing`, goes with the merged view `ground`."""
    found = tuple(_shadows(footing, layer, ground))
    return Fit(
        shadows=tuple(finding for finding in found if finding.name not in DATABASES),
        conflicts=tuple(_conflicts(footing, layer, ground)),
        databases=tuple(finding for finding in found if finding.name in DATABASES),
    )


def _shadows(footing: Footing, layer: View, ground: View) -> Iterator[Finding]:
    for path, own in layer.paths.items():
        before, now = footing.shadows.get(path, ""), ground.paths.get(path, "")
        if now in (before, own):
            continue
        if not now:
            if own == WHITEOUT:
                yield Finding(path, "is deleted by the overlay and no longer below")
            elif kind_of(own) != FOLDER:
                yield Finding(path, "is no longer below")
        elif before:
            yield Finding(path, f"changed below: {', '.join(ways(before, now))}")
        else:
            yield Finding(path, "is new below")


def _conflicts(footing: Footing, layer: View, ground: View) -> Iterator[Finding]:
    versions = ground.versions()
    for change in footing.packages:
        now = versions.get((change.name, change.architecture), "")
        if now not in (change.old, change.new):
            yield Finding(change.name, _in_words(change, now))
    changed = {(change.name, change.architecture) for change in footing.packages}
    below = [fields for fields in ground.packages or () if _key(fields) not in changed]
    brought = [fields for fields in layer.packages or () if _key(fields) in changed]
    already = set(_unmet(ground.packages or ()))
    yield from (finding for finding in _unmet((*below, *brought)) if finding not in already)


def _in_words(change: PackageChange, now: str) -> str:
    here = f"version {now}" if now else "gone"
    there = f"{change.old} when the overlay was made" if change.old else "not there when the overlay was made"
    does = f"which brings {change.new}" if change.new else "which removes it"
    return f"is {here} below, {there}, {does}"


def _unmet(packages: tuple[Fields, ...]) -> Iterator[Finding]:
    """What packages need that is not among them, and what they must not be beside."""
    index = by_any_name(packages)
    for fields in packages:
        for clause in clauses(fields, "Pre-Depends", "Depends"):
            if not any(True for relation in clause for _ in met_by(relation, index)):
                wanted = " | ".join(f"{r.name} ({r.operator} {r.version})" if r.operator else r.name for r in clause)
                yield Finding(fields["Package"], f"needs {wanted}")
        for relation in relations(fields, "Conflicts", "Breaks"):
            for other in met_by(relation, index):
                if other["Package"] != fields["Package"]:
                    yield Finding(fields["Package"], f"cannot be beside {other['Package']} {other['Version']}")


def _key(fields: Fields) -> tuple[str, str]:
    return fields["Package"], fields["Architecture"]


@dataclass(frozen=True, slots=True)
class WriteView(Step):
    """The view of the merged layers `lower`: what overlays are checked against."""

    kind: ClassVar[str] = "view"

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write it."""
        with machine.overlay(inputs["lower"]) as root:
            output.write_text(view_of(capture(root)).to_json())


@dataclass(frozen=True, slots=True)
class CheckFit(Step):
    """Whether the layer `upper`, made on `footing`, goes with the layers of which `ground` is the view."""

    kind: ClassVar[str] = "check"

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the verdict; what it says stops nothing."""
        (upper,), (footing,), (ground,) = inputs["upper"], inputs["footing"], inputs["ground"]
        given = Footing.from_json(footing.read_bytes()), view_of(capture(upper)), View.from_json(ground.read_bytes())
        output.write_text(check(*given).to_json())
