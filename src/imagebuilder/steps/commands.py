"""Commands in the chroot, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.steps.base import Action


@dataclass(frozen=True, slots=True)
class RunCommands(Action):
    """`commands`: a string goes to /bin/sh -e, a tuple is an argument vector."""

    kind: ClassVar[str] = "run"

    commands: tuple[str | tuple[str, ...], ...]

    def run(self, machine: Machine, root: Chroot) -> None:
        """Run each; the first that fails ends the step."""
        for command in self.commands:
            shown = command if isinstance(command, str) else " ".join(command)
            machine.began(f"{self.kind}: {shown}")
            machine.progress(shown.splitlines()[0][:80])
            root.run(("/bin/sh", "-e", "-c", command) if isinstance(command, str) else command)
