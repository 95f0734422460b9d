"""Whether an overlay still goes with layers that it was not made on: the verdict, and the step that comes to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step


@dataclass(frozen=True, slots=True)
class Finding:
    """A path, a package or an account, and in a few words what is the matter with it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Fit:
    """What stands against an overlay on some layers, and its old copies of databases."""

    shadows: tuple[Finding, ...] = ()
    conflicts: tuple[Finding, ...] = ()
    databases: tuple[Finding, ...] = ()
    accounts: tuple[Finding, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing does."""
        return not self.shadows and not self.conflicts and not self.accounts

    @property
    def verdict(self) -> str:
        """It in words."""
        found = [
            *(["package conflicts"] if self.conflicts else []),
            *(["account conflicts"] if self.accounts else []),
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
        return cls(**{name: tuple(Finding(**one) for one in found) for name, found in value.items()})


@dataclass(frozen=True, slots=True)
class CheckFit(Step):
    """Whether the layer `upper`, made on `footing`, goes with the layers `lower`."""

    kind: ClassVar[str] = "check"

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the verdict; what it says stops nothing."""
        from imagebuilder.steps.fitting import check  # late, for planning needs none of it
        from imagebuilder.steps.footing import Footing
        from imagebuilder.steps.layer import capture
        from imagebuilder.steps.view import view_of

        (upper,), (footing,) = inputs["upper"], inputs["footing"]
        layer = view_of(capture(upper))
        with machine.overlay(inputs["lower"]) as root:
            ground = view_of(capture(root), only=layer.paths)
        output.write_text(check(Footing.from_json(footing.read_bytes()), layer, ground).to_json())
