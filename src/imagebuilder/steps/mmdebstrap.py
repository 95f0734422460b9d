"""A root filesystem from nothing by mmdebstrap: the reference, and the way for suites not yet tried with our own.

Excluded paths are never unpacked, rather than deleted afterwards. apt's lists
and the .debs come from the build's own cache: nothing is fetched here.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.command import Command
from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.steps.rootfs import Rootfs

_SETUP_HOOK = Path(__file__).with_name("mmdebstrap-setup.sh")
_CUSTOMIZE_HOOK = Path(__file__).with_name("mmdebstrap-customize.sh")
_MERGED_USR_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"


@dataclass(frozen=True, slots=True)
class Mmdebstrap(Step):
    """The folder that `rootfs` describes, made by mmdebstrap and apt."""

    kind: ClassVar[str] = "mmdebstrap"
    makes_folder: ClassVar[bool] = True

    rootfs: Rootfs

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Run mmdebstrap into `output`; its progress is the step's."""
        # Late, for planning needs none of it.
        from imagebuilder.steps.install import refuse_others
        from imagebuilder.steps.upperdir import bottom_layer

        with bottom_layer(machine, output) as root, machine.apt_cache() as cache:
            debs = self.rootfs.debs
            machine.progress(f"installing {len(debs)} packages", sum(deb.size for deb in debs))
            sources = (cache / "host-sources.list").read_bytes()
            environment = {"SOURCE_DATE_EPOCH": str(self.rootfs.epoch)}
            machine.run(Command(self._command(root, cache), stdin=sources, env=environment))
            for name in ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/apt.conf.d/99mmdebstrap"):
                (root / name).unlink()
            for name in ("etc/hostname", "etc/resolv.conf"):
                (root / name).unlink(missing_ok=True)
            refuse_others(root, debs)
            self.rootfs.configure(root)

    def _command(self, root: Path, cache: Path) -> tuple[str, ...]:
        return (
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--verbose"),
            *("--skip=update", "--skip=essential/unlink", "--skip=check/signed-by"),
            f"--architectures={self.rootfs.architecture}",
            *(f"--dpkgopt={option}" for option in self.rootfs.dpkg_options),
            "--dpkgopt=force-unsafe-io",
            '--aptopt=APT::Install-Recommends "false"',
            *(f"--include={request}" for request in self.rootfs.requests),
            f"--hook-dir={_MERGED_USR_HOOKS}",
            f'--setup-hook={shlex.join((str(_SETUP_HOOK), str(cache)))} "$1"',
            f'--customize-hook={shlex.quote(str(_CUSTOMIZE_HOOK))} "$1"',
            *(self.rootfs.suite, str(root), "-"),
        )
