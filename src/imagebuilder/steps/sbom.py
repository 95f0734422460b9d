"""Which Debian packages a layer brings: steps beside those that pack it, made into documents when it is published.

A layer for the root is read by its dpkg database. An initrd and a kernel have
none: theirs are the packages that they were unpacked from, and the copyright
files of these, which do not travel in the layer, go into the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Inputs, Step


@dataclass(frozen=True, slots=True)
class InstalledPackages(Step):
    """What dpkg has in the layers `lower`; with an input `upper`, what that layer changes on them.

    `debs` are package files whose digests are known.
    """

    kind: ClassVar[str] = "installed-packages"

    suite: str
    debs: tuple[Deb, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the list."""
        from imagebuilder.steps import package_lists as lists  # late, for planning needs none of it

        lower, upper = inputs["lower"], inputs.get("upper", ())
        below: lists.Packages = {}
        if upper:
            with machine.overlay(lower) as root:
                below = lists.installed_in(root)
        with machine.overlay((*lower, *upper)) as root:
            now = lists.installed_in(root)
            added = lists.added(root, now, below, self.debs)
        gone = [package.identity for place, package in below.items() if now.get(place) != package]
        output.write_text(lists.list_of(self.suite, added, gone))


@dataclass(frozen=True, slots=True)
class UnpackedPackages(Step):
    """The packages `debs`, out of which the layers `lower` were made; these hold the copyright files."""

    kind: ClassVar[str] = "unpacked-packages"

    suite: str
    debs: tuple[Deb, ...]

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write the list."""
        from imagebuilder.steps import package_lists as lists  # late, for planning needs none of it

        output.write_text(lists.list_of(self.suite, lists.unpacked(machine, self.debs, inputs["lower"])))
