"""Debian packages into a root that exists, in one apt transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Action, Source

_LOCAL = "/run/imagebuilder/debs"


@dataclass(frozen=True, slots=True)
class InstallPackages(Action):
    """Install `requests` (`name` or `name=version`) and the tree's own `local_debs`.

    `debs` is what they come down to; all of them are in the archive folder already.
    """

    kind: ClassVar[str] = "packages"

    requests: tuple[str, ...]
    local_debs: tuple[Source, ...]
    debs: tuple[Deb, ...]

    def run(self, machine: Machine, root: Chroot) -> None:
        """Run apt-get in the root."""
        paths = []
        for number, source in enumerate(self.local_debs):
            target = f"{_LOCAL}/{number}/{source.path.name}"
            root.bind(source.path, target)
            paths.append(target)
        machine.progress(f"installing {len(self.debs) + len(paths)} packages", sum(deb.size for deb in self.debs))
        root.run(("apt-get", "-qq", "install", "--", *self.requests, *paths))
