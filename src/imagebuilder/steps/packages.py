"""Debian packages into a root that exists: directly where that is enough, else in one apt transaction."""

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
    They are installed without apt when `direct` is said, and when nothing but
    unpacking and configuring is needed for it. System accounts that they create
    have the ids that these names have in every overlay.
    """

    kind: ClassVar[str] = "packages"
    version: ClassVar[int] = 5

    requests: tuple[str, ...]
    local_debs: tuple[Source, ...]
    debs: tuple[Deb, ...]
    direct: bool = False

    def run(self, machine: Machine, root: Chroot) -> None:
        """Bring the packages into the root."""
        # Late, for planning needs none of it.
        from imagebuilder.steps.accounts import Accounts, renumber
        from imagebuilder.steps.install import refuse_others

        count = len(self.debs) + len(self.local_debs)
        machine.progress(f"installing {count} packages", sum(deb.size for deb in self.debs))
        accounts = Accounts.of(root.path)
        done = self.direct and self._install(machine, root)
        if not done or self.local_debs:
            self._run_apt(root)
            refuse_others(root.path, self.debs)
        renumber(root.path, accounts)

    def _install(self, machine: Machine, root: Chroot) -> bool:
        """Install `debs` without apt; False, and nothing is changed, when that cannot be done."""
        from imagebuilder.steps import install  # late, for planning needs none of it

        known = install.known(root.path)
        architecture = known["dpkg"]["Architecture"] if "dpkg" in known else ""
        there = {(name, fields["Version"]) for name, fields in known.items() if fields["Status"].endswith(" installed")}
        missing = (deb for deb in self.debs if (deb.name, deb.version) not in there)
        packages = install.read_packages(machine, missing)
        if reasons := install.refusals(root.path, packages, architecture):
            machine.note(f"apt installs these packages: {'; '.join(reasons)}")
            return False
        if packages:
            install.install(root, packages)
            machine.progress(f"configuring {len(packages)} packages")
            install.configure(root, packages)
        install.mark_automatic(root.path, packages, self.requests, architecture)
        return True

    def _run_apt(self, root: Chroot) -> None:
        paths = []
        for number, source in enumerate(self.local_debs):
            target = f"{_LOCAL}/{number}/{source.path.name}"
            root.bind(source.path, target)
            paths.append(target)
        root.run(("apt-get", "-qq", "install", "--", *self.requests, *paths))
