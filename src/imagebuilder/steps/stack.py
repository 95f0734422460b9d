"""What stacking changes: databases of the system, which two layers changed that know nothing of each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step

_LEFTOVER = "var/cache/ldconfig/aux-cache"


@dataclass(frozen=True, slots=True)
class Stack(Step):
    """The layer above `upper`, which has a `footing` of its own and now lies on `lower`.

    The node makes the same of the same layers (databases.sh).
    """

    kind: ClassVar[str] = "stack"
    makes_folder: ClassVar[bool] = True

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Fill `output` with the merged databases."""
        from imagebuilder.steps import databases  # late, for planning needs none of it
        from imagebuilder.steps.footing import Footing
        from imagebuilder.steps.layer import capture, settle

        (upper,), (footing,) = inputs["upper"], inputs["footing"]
        layers = (*inputs["lower"], upper)
        changes = Footing.from_json(footing.read_bytes()).changes
        with machine.overlay(inputs["lower"]) as below:
            contents = {
                databases.path_of(place): databases.merged(
                    machine, databases.kind_of(place), said, databases.content(below, databases.path_of(place))
                )
                for place, said in changes.items()
                if databases.kind_of(place) != "cache"
            }
        with machine.overlay(layers, output) as root:
            for name, content in contents.items():
                (root / name).write_bytes(content)
            with machine.chroot(root) as inside:
                inside.run(("ldconfig", "-X"))
            (root / _LEFTOVER).unlink(missing_ok=True)
        with machine.overlay(layers) as below:
            settle(output, capture(output, below))
