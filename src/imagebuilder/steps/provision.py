"""What a provisioner changes, as a layer: its actions run on an overlay mount, and the upperdir is the output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Action, Inputs, Step
from imagebuilder.steps.interpreter import MOUNT_POINT


@dataclass(frozen=True, slots=True)
class Provision(Step):
    """Run `actions` in order in the merged view of the input layers `lower`.

    The input `python`, if any, is the interpreter that Ansible's actions use.
    """

    kind: ClassVar[str] = "provision"
    version: ClassVar[int] = 2
    makes_folder: ClassVar[bool] = True

    actions: tuple[Action, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Fill `output`: the upperdir, settled, so that it is a layer wherever it is mounted.

        Beside it is written which action changed what (steps/origins.py).
        """
        from imagebuilder.steps import origins  # late, for planning needs none of it
        from imagebuilder.steps.layer import capture, settle

        with machine.overlay(inputs["lower"], output) as merged, machine.chroot(merged) as root:
            for bundle in inputs.get("python", ()):
                root.bind(bundle, MOUNT_POINT)
            for action in self.actions:
                machine.began(action.kind)
                with machine.timed(action.kind):
                    action.run(machine, root)
        origins.write(output, machine.beginnings())
        with machine.overlay(inputs["lower"]) as below:
            settle(output, capture(output, below))
