"""An overlay: the layer that a provisioner left, as one file that an initrd unpacks or mounts over the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from imagebuilder.errors import UserError
from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step

if TYPE_CHECKING:
    from imagebuilder.steps.layer import Entry

# Of gzip's levels, 9 takes three times as long as 6 for half a percent less.
_COMPRESSORS = {"cpio.gz": ("pigz", "-6", "-n"), "cpio.zst": ("zstd", "-19", "-q")}
_SQUASHFS = ("tar2sqfs", "-q", "-f", "-c", "zstd", "-X", "level=15", "-b", "256K")


@dataclass(frozen=True, slots=True)
class PackOverlay(Step):
    """The input layer `upper`, made on the layers `lower`, in a format that a config file can name.

    What it changed in databases of the system, and what the format has no place
    for, travels beside it (steps/databases.py, steps/sidecar.py), which only our
    initrd knows. When `strict`, what an initrd of others would lose is refused.
    """

    kind: ClassVar[str] = "overlay"
    version: ClassVar[int] = 5

    format: str
    epoch: int
    strict: bool = False

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the file. Raises ImagebuilderError for what an overlay cannot hold."""
        from imagebuilder.steps import databases, layer, sidecar  # late, for planning needs none of it

        (upper,) = inputs["upper"]
        entries = layer.clamped(layer.capture(upper), self.epoch)
        lost = sidecar.losses(entries, self.format)
        if lost and self.strict:
            raise _not_portable(lost)
        for entry, names in lost:
            machine.note(f"{entry.path} has {', '.join(names)}: only an initrd of ours brings it to the node")
        with machine.overlay(inputs["lower"]) as below:
            known = sidecar.Known(databases.recorded(upper, below), layer.replaced(entries, layer.Mounted(below)))
        members = sidecar.add(entries, known, self.format, self.epoch, machine.scratch())
        machine.progress("compressing", sum(entry.member.size for entry in members))
        write(machine, members, self.format, output, self.epoch)


def write(machine: Machine, members: Sequence[Entry], form: str, output: Path, epoch: int) -> None:
    """Write numbered entries in a format, streamed: memory does not grow with what the files hold."""
    from imagebuilder.steps import cpio, tar

    if form == "squashfs":
        command = Command((*_SQUASHFS, str(output)), env={"SOURCE_DATE_EPOCH": str(epoch)})
        with machine.feed(command) as stream:
            tar.write(members, stream)
    else:
        with machine.feed(Command(_COMPRESSORS[form]), output) as stream:
            cpio.write(members, stream)


def _not_portable(lost: Sequence[tuple[Entry, tuple[str, ...]]]) -> UserError:
    lines = [f"{entry.path} loses {', '.join(names)}" for entry, names in lost]
    return UserError(
        "an initrd that is not ours would unpack this overlay with losses:\n" + "\n".join(lines),
        hint="take these attributes off in `run:`, or leave `strict_portable` out",
    )
