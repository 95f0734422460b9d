"""A root filesystem from nothing: mmdebstrap, minbase, without what a RAM node never reads.

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
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Inputs, Step

_SETUP_HOOK = Path(__file__).with_name("bootstrap-setup.sh")
_CUSTOMIZE_HOOK = Path(__file__).with_name("bootstrap-customize.sh")
_MERGED_USR_HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
_DPKG_CONFIG = "etc/dpkg/dpkg.cfg.d/on-imagebuilder"


@dataclass(frozen=True, slots=True)
class Bootstrap(Step):
    """A folder with suite, packages and all that they need.

    `requests` go to apt as they stand (`name` or `name=version`), `debs` is
    everything that they and the tree's own packages come down to, `excludes`
    are dpkg path patterns, a leading `!` for one that is kept all the same;
    `sources` become the image's /etc/apt/sources.list.
    """

    kind: ClassVar[str] = "bootstrap"
    makes_folder: ClassVar[bool] = True

    suite: str
    architecture: str
    requests: tuple[str, ...]
    debs: tuple[Deb, ...]
    excludes: tuple[str, ...]
    sources: tuple[str, ...]
    epoch: int

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Run mmdebstrap into `output`; its progress is the step's."""
        with machine.apt_cache() as cache:
            argv = (
                *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--verbose"),
                *("--skip=update", "--skip=essential/unlink", "--skip=check/signed-by"),
                f"--architectures={self.architecture}",
                *(f"--dpkgopt={option}" for option in _dpkg_options(self.excludes)),
                "--dpkgopt=force-unsafe-io",
                '--aptopt=APT::Install-Recommends "false"',
                *(f"--include={request}" for request in self.requests),
                f"--hook-dir={_MERGED_USR_HOOKS}",
                f'--setup-hook={shlex.join((str(_SETUP_HOOK), str(cache)))} "$1"',
                f'--customize-hook={shlex.quote(str(_CUSTOMIZE_HOOK))} "$1"',
                *(self.suite, str(output), "-"),
            )
            machine.progress(f"installing {len(self.debs)} packages", sum(deb.size for deb in self.debs))
            machine.run(
                Command(argv, stdin=_build_sources(cache), env={"SOURCE_DATE_EPOCH": str(self.epoch)}),
            )
        self._finish(output)

    def _finish(self, output: Path) -> None:
        """Our own configuration in place of mmdebstrap's."""
        (output / "etc/dpkg/dpkg.cfg.d/99mmdebstrap").unlink()
        (output / "etc/apt/apt.conf.d/99mmdebstrap").unlink()
        options = "".join(f"{option}\n" for option in _dpkg_options(self.excludes))
        (output / _DPKG_CONFIG).write_text(options)
        (output / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in self.sources))
        for name in ("etc/hostname", "etc/resolv.conf"):
            (output / name).unlink(missing_ok=True)


def _dpkg_options(excludes: tuple[str, ...]) -> list[str]:
    """dpkg.cfg lines; an include has to come after the excludes that it pierces."""
    dropped = [f"path-exclude={pattern}" for pattern in excludes if not pattern.startswith("!")]
    kept = [f"path-include={pattern[1:]}" for pattern in excludes if pattern.startswith("!")]
    return dropped + kept


def _build_sources(cache: Path) -> bytes:
    return (cache / "host-sources.list").read_bytes()
