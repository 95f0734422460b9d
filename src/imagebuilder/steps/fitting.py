"""How an overlay is checked against layers that it was not made on. Pure.

- It *shadows changed files* where the layers below now have something else than
  when it was made, and its own, which is of that time, hides it.
- Its *packages conflict* where one that it brings, replaces or takes away is
  below in another version, or where all packages together do not go with each other.
- Its *accounts conflict* where a user or a group has one id there and another
  below, or two have one id.

Databases that are merged where layers are stacked are told apart: that the
overlay has an old copy of one means nothing there.
"""

from __future__ import annotations

from collections.abc import Iterator

from imagebuilder.steps.conflicts import stacking_conflicts
from imagebuilder.steps.databases import is_database
from imagebuilder.steps.dpkg_database import Fields
from imagebuilder.steps.dpkg_relations import by_any_name, clauses, met_by, relations
from imagebuilder.steps.fit import Finding, Fit
from imagebuilder.steps.footing import Footing, PackageChange
from imagebuilder.steps.view import FOLDER, WHITEOUT, View, kind_of, ways


def check(footing: Footing, layer: View, ground: View) -> Fit:
    """Whether the overlay that is `layer`, and was made on `footing`, goes with the merged view `ground`."""
    found = tuple(_shadows(footing, layer, ground))
    return Fit(
        shadows=tuple(finding for finding in found if not is_database(finding.name[1:])),
        conflicts=tuple(_conflicts(footing, layer, ground)),
        accounts=tuple(_accounts(footing, ground)),
        databases=tuple(finding for finding in found if is_database(finding.name[1:])),
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


def _accounts(footing: Footing, ground: View) -> Iterator[Finding]:
    for found in stacking_conflicts([("below", ground.changes), ("the overlay", footing.changes)]):
        if found.kind != "package":  # these are told of above, with what was there before
            yield Finding(f"{found.kind} {found.name}", f"{found.lower_has} below, {found.upper_has} in the overlay")


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
