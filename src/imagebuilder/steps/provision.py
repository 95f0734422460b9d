"""What a provisioner changes, as a layer: its actions run on an overlay mount, and the upperdir is the output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Action, Inputs, Step
from imagebuilder.steps.interpreter import MOUNT_POINT

# Linux Documentation/filesystems/overlayfs.rst. What stays is `opaque`, which is the layer's own.
_MARKS = frozenset({"trusted.overlay.impure", "trusted.overlay.origin", "trusted.overlay.uuid"})


@dataclass(frozen=True, slots=True)
class Provision(Step):
    """Run `actions` in order in the merged view of the input layers `lower`.

    The input `python`, if any, is the interpreter that Ansible's actions use.
    """

    kind: ClassVar[str] = "provision"
    makes_folder: ClassVar[bool] = True

    actions: tuple[Action, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Fill `output`, the upperdir."""
        with machine.overlay(inputs["lower"], output) as merged, machine.chroot(merged) as root:
            for bundle in inputs.get("python", ()):
                root.bind(bundle, MOUNT_POINT)
            for action in self.actions:
                with machine.timed(action.kind):
                    action.run(machine, root)
        _forget_mount(output)


def _forget_mount(upper: Path) -> None:
    """Take off what the kernel wrote for this very mount: file handles and numbers that are other ones next time."""
    for folder, folders, files in os.walk(upper):
        for path in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):
            for name in _MARKS & set(os.listxattr(path, follow_symlinks=False)):
                os.removexattr(path, name, follow_symlinks=False)
