"""A root filesystem from nothing but package files: no apt and no debootstrap in between.

links of a merged /usr, an empty dpkg database, the excluded paths
essential packages and all that they need: extracted, then their `preinst`
all other packages: `preinst`, then extracted
one run of dpkg configures all of them
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps import install
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.steps.dpkg_relations import needed
from imagebuilder.steps.mmdebstrap import Mmdebstrap
from imagebuilder.steps.rootfs import Rootfs

_MERGED = {"amd64": ("bin", "lib", "lib64", "sbin")}
_MERGED_ELSEWHERE = ("bin", "lib", "sbin")


@dataclass(frozen=True, slots=True)
class Bootstrap(Step):
    """The folder that `rootfs` describes."""

    kind: ClassVar[str] = "bootstrap"
    version: ClassVar[int] = 2
    makes_folder: ClassVar[bool] = True

    rootfs: Rootfs

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Fill `output`; mmdebstrap does it when a package needs more than we can do."""
        rootfs = self.rootfs
        packages = install.read_packages(machine, rootfs.debs)
        fields = {package.name: package.fields for package in packages}
        essential = needed((name for name, f in fields.items() if f.get("Essential") == "yes"), fields)
        if reasons := install.refusals(output, packages, rootfs.architecture):
            machine.note(f"mmdebstrap makes this base: {'; '.join(reasons)}")
            Mmdebstrap(rootfs).run(machine, inputs, output)
            return
        for name in _MERGED.get(rootfs.architecture, _MERGED_ELSEWHERE):
            (output / "usr" / name).mkdir(parents=True)
            (output / name).symlink_to(f"usr/{name}")
        install.prepare(output)
        rootfs.configure(output)
        first = [package for package in packages if package.name in essential]
        rest = [package for package in packages if package.name not in essential]
        machine.progress(f"unpacking {len(packages)} packages")
        install.unpack(output, first)
        with machine.chroot(output) as root:
            install.run_preinst(root, first)
            install.install(root, rest)
            machine.progress(f"configuring {len(packages)} packages")
            install.configure(root)
        # As apt has it: what every system has is not there for others' sake.
        free = [p for p in rest if p.fields.get("Priority") != "required" and p.name != "apt"]
        install.mark_automatic(output, free, rootfs.requests, rootfs.architecture)
        if (output / "etc/machine-id").exists():  # every node draws its own
            (output / "etc/machine-id").write_text("")
            (output / "etc/machine-id").chmod(0o644)
