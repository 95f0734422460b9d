"""A kernel out of its packages: image, symbols, configuration and all modules. No maintainer script runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Inputs, Step

MODULES = Path("usr/lib/modules")
COPYRIGHT = Path(".copyright")
"""Where a layer of an initrd has NAME/copyright of its packages: for the list of these, not for RAM."""
COPYRIGHT_FILES = "/usr/share/doc/*/copyright"
_DOCUMENTATION = Path("usr/share/doc")


@dataclass(frozen=True, slots=True)
class Kernel(Step):
    """A folder with `boot/{vmlinuz,System.map,config}-RELEASE` and `usr/lib/modules/RELEASE` from `debs`."""

    kind: ClassVar[str] = "kernel"
    version: ClassVar[int] = 2
    makes_folder: ClassVar[bool] = True

    release: str
    debs: tuple[Deb, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Unpack the packages. Raises ImagebuilderError when they do not hold the kernel `release`."""
        from imagebuilder.steps.extract import unpack  # late, for planning needs none of it

        unpack(machine, self.debs, output, ("/boot/*", "/lib/modules/*", f"/{MODULES}/*", COPYRIGHT_FILES))
        if (output / "lib").exists():  # where packages know nothing of a merged /usr
            (output / MODULES).parent.mkdir(parents=True)
            (output / "lib/modules").rename(output / MODULES)
            (output / "lib").rmdir()
        if not (output / MODULES / self.release).is_dir() or not (output / f"boot/vmlinuz-{self.release}").is_file():
            names = ", ".join(f"`{deb.name}`" for deb in self.debs)
            raise ImagebuilderError(f"{names} does not hold the kernel `{self.release}` and its modules")
        # Ubuntu's; what else compresses modules is read as it is.
        find = ("find", str(output / MODULES), "-name", "*.ko.zst", "-exec", "zstd", "-d", "-q", "--rm", "{}", "+")
        machine.run(Command(find))
        if (output / _DOCUMENTATION).exists():
            (output / _DOCUMENTATION).rename(output / COPYRIGHT)


@dataclass(frozen=True, slots=True)
class KernelImage(Step):
    """The file vmlinuz of the input `kernel`."""

    kind: ClassVar[str] = "kernel-image"

    release: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Copy it."""
        (kernel,) = inputs["kernel"]
        shutil.copyfile(kernel / "boot" / f"vmlinuz-{self.release}", output)


def config(kernel: Path, release: str) -> frozenset[str]:
    """The lines of a kernel's configuration (`CONFIG_RD_ZSTD=y`) in an output of the step."""
    return frozenset((kernel / "boot" / f"config-{release}").read_text().splitlines())


def keep_copyright(unpacked: Path, layer: Path) -> None:
    """Copy the copyright files of unpacked packages to their place in a layer, links as links."""
    documentation = unpacked / _DOCUMENTATION

    def other(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(folder) != documentation and name != "copyright"]

    if documentation.is_dir():
        shutil.copytree(documentation, layer / COPYRIGHT, symlinks=True, ignore=other)
