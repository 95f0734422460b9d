"""A base that an earlier build left as an artifact, as a layer again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Source, Step


@dataclass(frozen=True, slots=True)
class Unsquash(Step):
    """The folder that `image`, a squashfs, holds."""

    kind: ClassVar[str] = "unsquash"
    makes_folder: ClassVar[bool] = True

    image: Source

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Unpack; a mount would do, but a layer outlives the step that made it."""
        machine.progress("unpacking")
        argv = ("unsquashfs", "-quiet", "-no-progress", "-force", "-dest", str(output), str(self.image.path))
        machine.run(Command(argv))
