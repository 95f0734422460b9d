"""A root filesystem from nothing but package files: no apt and no debootstrap in between.

In this order: the links of a merged /usr, an empty dpkg database and the
excluded paths; essential packages and all that they need, with `preinst` after
their files, which it runs on; all other packages, with `preinst` before; one
run of dpkg that configures all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.steps.rootfs import Rootfs

if TYPE_CHECKING:
    from imagebuilder.steps.install import Package

_MERGED_USR = ("bin", "lib", "sbin")
_MERGED_USR_TOO = {"amd64": ("lib64",)}


@dataclass(frozen=True, slots=True)
class Bootstrap(Step):
    """The folder that `rootfs` describes."""

    kind: ClassVar[str] = "bootstrap"
    version: ClassVar[int] = 3
    makes_folder: ClassVar[bool] = True

    rootfs: Rootfs

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Fill `output`; mmdebstrap does it when a package needs more than we can do."""
        # Late, for planning needs none of it.
        from imagebuilder.steps import install
        from imagebuilder.steps.mmdebstrap import Mmdebstrap
        from imagebuilder.steps.upperdir import bottom_layer

        packages = install.read_packages(machine, self.rootfs.debs)
        if reasons := install.refusals(output, packages, self.rootfs.architecture):
            machine.note(f"mmdebstrap makes this base: {'; '.join(reasons)}")
            Mmdebstrap(self.rootfs).run(machine, inputs, output)
            return
        machine.progress(f"unpacking {len(packages)} packages", sum(deb.size for deb in self.rootfs.debs))
        with bottom_layer(machine, output) as root:
            self._prepare(root)
            first, rest = _parted(packages)
            with machine.timed("unpack essential packages"):
                install.unpack(root, first)
            with machine.chroot(root) as chroot:
                with machine.timed("unpack"):
                    install.run_preinst(chroot, first)
                    install.install(chroot, rest)
                machine.progress(f"configuring {len(packages)} packages")
                with machine.timed("configure"):
                    install.configure(chroot, packages)
            # As apt has it: what every system has is not there for others' sake.
            others = (p for p in rest if p.fields.get("Priority") != "required" and p.name != "apt")
            install.mark_automatic(root, others, self.rootfs.requests, self.rootfs.architecture)
            identity = root / "etc/machine-id"
            if identity.exists():  # each node draws its own
                identity.write_text("")
                identity.chmod(0o644)

    def _prepare(self, root: Path) -> None:
        """What has to be there before any package."""
        from imagebuilder.steps.install import prepare

        for name in (*_MERGED_USR, *_MERGED_USR_TOO.get(self.rootfs.architecture, ())):
            (root / "usr" / name).mkdir(parents=True)
            (root / name).symlink_to(f"usr/{name}")
        prepare(root)
        self.rootfs.configure(root)


def _parted(packages: Sequence[Package]) -> tuple[list[Package], list[Package]]:
    """Essential packages with all that they need, and the rest."""
    from imagebuilder.steps.dpkg_relations import needed

    fields = [package.fields for package in packages]
    essential = needed((f["Package"] for f in fields if f.get("Essential") == "yes"), fields)
    return [p for p in packages if p.name in essential], [p for p in packages if p.name not in essential]
