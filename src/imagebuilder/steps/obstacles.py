"""Whether packages can be installed without apt, decided beforehand and without touching anything."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagebuilder.steps.dpkg_database import REMOVED, Conffile, Fields
from imagebuilder.steps.dpkg_relations import by_any_name, clauses, met_by, relations

_IDLE = re.compile(
    r"set [-+][eux]+|exit 0|:|dpkg-maintscript-helper (?:rm_conffile|mv_conffile|symlink_to_dir|dir_to_symlink) .*"
)
_OWNERS = re.compile(r"\bdpkg-statoverride\b.*--(?:add|update)")


@dataclass(frozen=True, slots=True)
class Candidate:
    """What there is to know of a package before it is unpacked.

    `preinst` is "" when it does nothing; `paths` are those of its files that it has checksums of.
    """

    fields: Fields
    preinst: str = ""
    conffiles: tuple[Conffile, ...] = ()
    paths: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a root has before.

    `packages` are those that dpkg knows, by name; `existing` paths of conffiles
    that are there; `overridden` those of `statoverride`.
    """

    architecture: str
    packages: Mapping[str, Fields]
    existing: Collection[str] = ()
    overridden: Collection[str] = ()


def is_idle(script: str) -> bool:
    """Whether a `preinst` does nothing where no version of its package was: dpkg's helper acts in upgrades only."""
    lines = (line.strip() for line in script.replace("\\\n", " ").splitlines())
    return all(not line or line.startswith("#") or _IDLE.fullmatch(line) for line in lines)


def rounds(new: Sequence[Candidate]) -> list[list[Candidate]]:
    """In which order to unpack: a `preinst` that acts finds the files of what its package pre-depends on."""
    acting = {candidate.fields["Package"]: candidate for candidate in new if candidate.preinst}
    order = [[candidate for candidate in new if not candidate.preinst]]
    while acting:
        ready = [c for c in acting.values() if not _awaited(c) & acting.keys()] or list(acting.values())
        order.append(ready)
        for candidate in ready:
            del acting[candidate.fields["Package"]]
    return [candidates for candidates in order if candidates]


def _awaited(candidate: Candidate) -> set[str]:
    return {relation.name for relation in relations(candidate.fields, "Pre-Depends")}


def obstacles(new: Sequence[Candidate], around: Surroundings) -> list[str]:
    """Why `new` cannot be installed directly, a sentence each; empty when it can."""
    present = [fields for fields in around.packages.values() if fields["Status"].endswith(" installed")]
    reasons = [(c.fields, reason) for c in new for reason in _of_package(c, around)]
    reasons += _of_each_other([candidate.fields for candidate in new], present)
    return [f"`{fields['Package']}` {reason}" for fields, reason in reasons]


def _of_package(candidate: Candidate, around: Surroundings) -> Iterator[str]:
    fields = candidate.fields
    if fields["Architecture"] not in (around.architecture, "all"):
        yield f"is of the architecture {fields['Architecture']}"
    if before := around.packages.get(fields["Package"]):
        yield f"is known to dpkg in version {before['Version']}"
    if flagged := [file for file in candidate.conffiles if file.flag not in ("", REMOVED)]:
        yield f"has a conffile with a flag, `{flagged[0].flag} {flagged[0].path}`"
    if existing := [file.path for file in candidate.conffiles if file.path in around.existing]:
        yield f"has the conffile {existing[0]}, which is there"
    if taken := sorted(candidate.paths & set(around.overridden)):
        yield f"has {taken[0]}, whose owner dpkg-statoverride sets"
    if _OWNERS.search(candidate.preinst):
        yield "sets owners with dpkg-statoverride beforehand"


def _of_each_other(new: Sequence[Fields], present: Sequence[Fields]) -> Iterator[tuple[Fields, str]]:
    """What dpkg would have to remove, deconfigure or take files from, and what is not there."""
    everything, before, after = by_any_name([*present, *new]), by_any_name(present), by_any_name(new)
    for fields in new:
        for clause in clauses(fields, "Pre-Depends", "Depends"):
            if not any(other for relation in clause for other in met_by(relation, everything)):
                yield fields, f"needs {' | '.join(relation.name for relation in clause)}"
        for relation in relations(fields, "Replaces"):
            for other in met_by(relation, everything):
                if other["Package"] == relation.name != fields["Package"]:
                    yield fields, f"may take files of {other['Package']}"
        for relation in relations(fields, "Conflicts", "Breaks"):
            yield from ((fields, f"cannot be beside {other['Package']}") for other in met_by(relation, before))
    for fields in present:
        for relation in relations(fields, "Conflicts", "Breaks"):
            yield from ((other, f"cannot be beside {fields['Package']}") for other in met_by(relation, after))
