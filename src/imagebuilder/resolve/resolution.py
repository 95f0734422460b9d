"""What a tree's requests came down to: exact packages for each image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.errors import Location
from imagebuilder.resolve.deb import Deb


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel: its release (`6.1.0-35-amd64`) and the packages that hold image and modules."""

    release: str
    debs: tuple[Deb, ...]


@dataclass(frozen=True, slots=True)
class ImagePackages:
    """One image's packages.

    `install`: all that its requests bring into the root (of an initrd: into
    the build root of an old role), dependencies included. `userland` and
    `firmware`: for an initrd, what programs, libraries and firmware are taken from.
    """

    install: tuple[Deb, ...] = ()
    userland: tuple[Deb, ...] = ()
    firmware: tuple[Deb, ...] = ()
    kernel: Kernel | None = None

    @property
    def debs(self) -> tuple[Deb, ...]:
        """All of them."""
        return (*self.install, *self.userland, *self.firmware, *(self.kernel.debs if self.kernel else ()))


@dataclass(frozen=True, slots=True)
class Resolution:
    """The whole tree's packages.

    `published` are the lines of the images' own sources.list; `kernel` is the
    tree's own kernel, which names the base; `python` holds the interpreter for
    Ansible, empty when no image has a role; `bases` are artifacts of earlier
    builds that overlays of this one are made on, by image name; `epoch` is the
    time that every artifact carries.
    """

    published: tuple[str, ...]
    kernel: Kernel
    images: Mapping[str, ImagePackages]
    python: tuple[Deb, ...]
    bases: Mapping[str, Path]
    epoch: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A request that cannot be met: where it stands and what is wrong."""

    location: Location
    message: str

    def __str__(self) -> str:
        return f"{self.location}: {self.message}"
