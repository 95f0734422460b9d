"""What an overlay stands on: the artifacts below it, what they have where it has something, the packages it changes.

It is written down when the overlay is made, beside it, and is all that has to be known of the layers that it
was made on to say whether it goes with others (steps/fitting.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from imagebuilder import digest
from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Source, Step

if TYPE_CHECKING:
    from imagebuilder.steps.databases import Changes
    from imagebuilder.steps.view import View


@dataclass(frozen=True, slots=True, order=True)
class PackageChange:
    """A package that an overlay brings (`old` is ""), takes away (`new` is "") or replaces: versions."""

    name: str
    architecture: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Footing:
    """The sha256 of each artifact below, bottom first; by path what was there (`steps.view`); packages.

    `changes` is what the overlay changed in databases (steps/databases.py).
    """

    on: tuple[str, ...]
    shadows: Mapping[str, str]
    packages: tuple[PackageChange, ...]
    changes: Changes

    def to_json(self) -> str:
        """As it is kept."""
        packages = [asdict(change) for change in self.packages]
        changes = {place: os.fsdecode(said) for place, said in self.changes.items()}
        value = {"on": self.on, "shadows": self.shadows, "packages": packages, "changes": changes}
        return json.dumps(value, indent=0)

    @classmethod
    def from_json(cls, text: str | bytes) -> Footing:
        """Read what `to_json` wrote. Raises ValueError, KeyError or TypeError for anything else."""
        value = json.loads(text)
        packages = tuple(PackageChange(**change) for change in value["packages"])
        changes = {place: os.fsencode(said) for place, said in value["changes"].items()}
        return cls(tuple(value["on"]), value["shadows"], packages, changes)


def footing_of(on: tuple[str, ...], layer: View, below: View) -> Footing:
    """The footing of an overlay on the merged view of what it was made on."""
    shadows = {path: below.paths[path] for path in layer.paths if path in below.paths}
    before, after = below.versions(), below.versions() if layer.packages is None else layer.versions()
    changes = [
        PackageChange(*key, before.get(key, ""), after.get(key, ""))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    return Footing(on, shadows, tuple(changes), layer.changes)


@dataclass(frozen=True, slots=True)
class WriteFooting(Step):
    """The footing of the layer `upper` on the layers `lower`, which are in the artifacts `built` and `on`.

    `platform` is suite and architecture, `base` names the images below; `built`
    are artifacts of earlier builds, below all others.
    """

    kind: ClassVar[str] = "footing"

    platform: tuple[str, str]
    base: tuple[str, ...]
    built: tuple[Source, ...] = ()

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write it."""
        from imagebuilder.steps import databases  # late, for planning needs none of it
        from imagebuilder.steps.layer import capture
        from imagebuilder.steps.view import view_of

        (upper,) = inputs["upper"]
        on = (*(source.path for source in self.built), *inputs.get("on", ()))
        with machine.overlay(inputs["lower"]) as root:
            layer = view_of(capture(upper), databases.recorded(upper, root))
            below = view_of(capture(root), only=layer.paths)
        footing = footing_of(tuple(map(digest.of_file, on)), layer, below)
        output.write_text(footing.to_json())
