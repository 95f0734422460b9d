"""A root filesystem as one mountable squashfs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step


@dataclass(frozen=True, slots=True)
class Squashfs(Step):
    """The merged view of the input layers `lower`; same tree and same `epoch`, same bytes (mksquashfs 4.4+)."""

    kind: ClassVar[str] = "squashfs"

    epoch: int
    level: int = 13
    block_size: str = "256K"

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the squashfs."""
        with machine.overlay(inputs["lower"]) as tree:
            command = Command(
                (
                    *("mksquashfs", str(tree), str(output), "-noappend", "-no-progress", "-quiet"),
                    *("-comp", "zstd", "-Xcompression-level", str(self.level), "-b", self.block_size),
                ),
                env={"SOURCE_DATE_EPOCH": str(self.epoch)},
            )
            machine.progress("compressing")
            machine.run(command)
