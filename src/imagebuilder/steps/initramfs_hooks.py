"""What a role of 2015 left for initramfs-tools in a build root, as a layer of our initrd.

    /etc/initramfs-tools/hooks/*     are run: programs and modules that they ask for come along
    /etc/initramfs-tools/modules     modules by name
    /etc/initramfs-tools/scripts/    would replace the boot path: told, and not taken

The roots's own initramfs-tools, if it has one, takes no part.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.spec.legacy.needless import INSTEAD_OF_SCRIPTS
from imagebuilder.steps import libraries, modules
from imagebuilder.steps.base import Inputs, Source, Step
from imagebuilder.steps.kernel import MODULES

FOLDERS = tuple(
    f"/etc/initramfs-tools/{name}"
    for name in (
        "conf.d",
        "hooks",
        *(f"scripts/{part}-{when}" for part in ("init", "local", "nfs") for when in ("top", "premount", "bottom")),
    )
)
"""What a root with initramfs-tools has: roles copy into it."""

_TOOLS = Path(__file__).with_name("initramfs-tools")
_SHOWN = "/run/imagebuilder/initramfs-tools"
_LEFT = Path("run/imagebuilder")
_LINKS = ("bin", "lib", "lib64", "sbin")
_ALIASES = {"overlayfs": "overlay"}


@dataclass(frozen=True, slots=True)
class HookedPrograms(Step):
    """What the hooks in the merged view of `lower` ask for: programs, files, and modules of the input `kernel`."""

    kind: ClassVar[str] = "initramfs-hooks"
    makes_folder: ClassVar[bool] = True

    release: str
    tools: Source = field(default_factory=lambda: Source.of(_TOOLS))

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Raises CommandError with a hook's own words when it fails."""
        (kernel,) = inputs["kernel"]
        upper = machine.scratch()
        with machine.overlay(inputs["lower"], upper) as merged, machine.chroot(merged) as root:
            root.bind(self.tools.path, _SHOWN)
            root.run(("/bin/sh", f"{_SHOWN}/run-hooks", self.release))
            wanted = _wanted((merged / _LEFT / "wanted").read_text())
            shutil.copytree(merged / _LEFT / "initramfs", output, symlinks=True, dirs_exist_ok=True)
            for place, file in libraries.closure(merged, wanted["program"]).items():
                (output / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, output / place)
            names = {*wanted["module"], *_listed(merged / "etc/initramfs-tools/modules")}
            for script in _scripts(merged / "etc/initramfs-tools/scripts"):
                machine.note(f"`/etc/initramfs-tools/scripts/{script}` is not run: {INSTEAD_OF_SCRIPTS}")
        for link in _LINKS:
            (output / link).unlink()
        self.add_modules(machine, names, kernel / MODULES / self.release, output)

    def add_modules(self, machine: Machine, names: Iterable[str], source: Path, output: Path) -> None:
        """Copy modules of the kernel below `source` by their names, old ones too, with all that they depend on."""
        files = modules.module_files(source)
        builtin = modules.module_names((source / "modules.builtin").read_text())
        wanted = {modules.canonical(_ALIASES.get(name, name)) for name in names}
        if unknown := sorted(wanted - files.keys() - builtin):
            machine.note(f"the kernel has no modules {', '.join(f'`{name}`' for name in unknown)}")
        for path, data in modules.closure(wanted & files.keys(), files, source).items():
            target = output / MODULES / self.release / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _wanted(text: str) -> dict[str, list[str]]:
    """The lines that our hook-functions wrote, by what they name."""
    wanted: dict[str, list[str]] = {"program": [], "module": []}
    for line in text.splitlines():
        kind, _, name = line.partition(" ")
        wanted[kind].append(name)
    return wanted


def _listed(path: Path) -> list[str]:
    """The modules that /etc/initramfs-tools/modules names, one a line, before their options."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return [words[0] for words in map(str.split, lines) if words and not words[0].startswith("#")]


def _scripts(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
