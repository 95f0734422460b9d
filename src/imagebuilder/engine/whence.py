"""Why a path of an image is what it is: which layers have it, which step, role and task wrote it, whose it is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.checking import root_parts
from imagebuilder.engine.inspection import NO_PACKAGE, owner_of, owners
from imagebuilder.engine.parts import Part
from imagebuilder.engine.unpacked import opened
from imagebuilder.steps import origins
from imagebuilder.steps.view import folders_above, kind_of, view_of
from imagebuilder.store.record import Record


@dataclass(frozen=True, slots=True)
class Place:
    """A layer that has the path, or hides it.

    `what` is as `steps.view` says it; `via` is the path itself, or the folder
    above it that the layer has something else in the place of. `step` and
    `part` (an action, a command, a task) are "" where nobody knows them, as are
    `role` and `package`.
    """

    layer: str
    digest: str
    what: str
    via: str
    step: str = ""
    part: str = ""
    role: str = ""
    package: str = ""


def whence(cache: Cache, path: str, images: Sequence[str]) -> tuple[Place, ...]:
    """The layers that have a say in an absolute `path`, the uppermost first: that one is seen.

    `images` are names in the store, or files, from the bottom to the top.
    Raises UserError for what is not there.
    """
    parts = dict.fromkeys(part for image in images for part in root_parts(cache.layout, image))
    package: dict[str, str] = {}
    found: list[Place] = []
    for part in parts:
        with opened(part.file) as layer:
            lines = view_of(layer.entries).paths
            package |= owners(layer.entries)
        via = next((p for p in (*folders_above(path), path) if p == path or _hides(lines.get(p, ""))), path)
        if via in lines:
            owner = owner_of(path, package)
            made = _made(cache, part, via)
            found.append(Place(part.title, f"sha256:{part.sha256}", lines[via], via, *made, _known(owner)))
    return tuple(reversed(found))


def _hides(line: str) -> bool:
    """Whether what is at a folder's place hides all that is below it."""
    return line != "" and kind_of(line) != "folder"


def _known(owner: str) -> str:
    return "" if owner == NO_PACKAGE else owner


def _made(cache: Cache, part: Part, path: str) -> tuple[str, str, str]:
    """The step that made a path of an artifact, the part of it that wrote there, and the role if it has one."""
    for _, packed in cache.actions.all():
        if packed.sha256 != part.sha256:
            continue
        for step_id, record in _layers(cache, packed):
            layer = cache.trees.path(step_id)
            if os.path.lexists(layer / path.lstrip("/")):
                wrote = origins.find(layer, path) or ""
                return record.name, wrote, _role(record.step) if wrote.startswith("ansible") else ""
    return "", "", ""


def _layers(cache: Cache, packed: Record) -> Iterator[tuple[str, Record]]:
    """The folders that were packed and are still there, the uppermost first."""
    for step_id in reversed(packed.inputs.get("upper") or packed.inputs.get("lower") or ()):
        if record := cache.trees.find(step_id):
            yield step_id, record


def _role(step: Any) -> str:
    return next((action["role"] for action in step.get("actions", ()) if "role" in action), "")
