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
        rootfs = self.rootfs
        with machine.apt_cache() as cache:
            argv = (
                *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--verbose"),
                *("--skip=update", "--skip=essential/unlink", "--skip=check/signed-by"),
                f"--architectures={rootfs.architecture}",
                *(f"--dpkgopt={option}" for option in rootfs.dpkg_options),
                "--dpkgopt=force-unsafe-io",
                '--aptopt=APT::Install-Recommends "false"',
                *(f"--include={request}" for request in rootfs.requests),
                f"--hook-dir={_MERGED_USR_HOOKS}",
                f'--setup-hook={shlex.join((str(_SETUP_HOOK), str(cache)))} "$1"',
                f'--customize-hook={shlex.quote(str(_CUSTOMIZE_HOOK))} "$1"',
                *(rootfs.suite, str(output), "-"),
            )
            machine.progress(f"installing {len(rootfs.debs)} packages")
            sources = (cache / "host-sources.list").read_bytes()
            machine.run(Command(argv, stdin=sources, env={"SOURCE_DATE_EPOCH": str(rootfs.epoch)}))
        for name in ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/apt.conf.d/99mmdebstrap"):
            (output / name).unlink()
        for name in ("etc/hostname", "etc/resolv.conf"):
            (output / name).unlink(missing_ok=True)
        rootfs.configure(output)
