"""Shells in images, and overlays out of what was done there, or on a node."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.checking import root_parts
from imagebuilder.engine.inspection import owners
from imagebuilder.engine.parts import Part
from imagebuilder.engine.shell import run_shell
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.events import Event
from imagebuilder.host import files
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.host.mounts import mounted
from imagebuilder.steps import databases, overlay, sidecar
from imagebuilder.steps.footing import Footing, footing_of
from imagebuilder.steps.handmade import config_of, kept
from imagebuilder.steps.layer import Entry, bytes_of, capture, replaced
from imagebuilder.steps.view import View, view_of

_INFO = "var/lib/dpkg/info"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an overlay made by hand is written: its file in `folder`, its config file and files in `tree`."""

    name: str
    folder: Path
    tree: Path

    @property
    def artifact(self) -> Path:
        """The overlay."""
        return self.folder / f"{self.name}.overlay.cpio.gz"

    @property
    def config(self) -> Path:
        """The config file."""
        return self.tree / f"vars/{self.name}.yml"

    def refuse_taken(self) -> None:
        """Raise UserError when something is there already."""
        for path in (self.artifact, self.config, self.tree / "files" / self.name):
            if os.path.lexists(path):
                raise UserError(f"{path} is there already", hint="take another name")


@dataclass(frozen=True, slots=True)
class Changes:
    """What was done on an image: entries, what travels with them, and what they stand on."""

    base: str
    entries: tuple[Entry, ...]
    known: sidecar.Known
    footing: Footing
    below: View
    owned: frozenset[str]


def shell_in(
    cache: Cache, image: str, environment: Mapping[str, str], then: Callable[[Changes, LocalMachine], None]
) -> int:
    """Run a shell on a writable view of an image of the store, in a private namespace; returns its exit status.

    Afterwards `then` is given what changed; nothing of it stays.
    """
    with cache.used(), files.workroom(cache.folder / "shells") as room:
        machine, lower, upper = _machine(room, image), _folders(cache, image), room / "upper"
        upper.mkdir()
        with mounted("imagebuilder", room / "scratch", "tmpfs"):
            with machine.overlay(lower, upper) as view:
                status = run_shell(machine, image, view, (), environment)
            with machine.overlay(lower) as below:
                then(_changes(image, upper, below), machine)
    return status


def capture_from(cache: Cache, upper: Path, image: str, then: Callable[[Changes, LocalMachine], None]) -> None:
    """Give `then` what an upperdir, made on an image of the store, says; to be called in a private namespace.

    Raises UserError for what is no upperdir, and for devices.
    """
    if not upper.is_dir():
        raise UserError(f"there is no folder `{upper}`")
    with cache.used(), files.workroom(cache.folder / "shells") as room:
        machine, lower = _machine(room, image), _folders(cache, image)
        with mounted("imagebuilder", room / "scratch", "tmpfs"), machine.overlay(lower) as below:
            then(_changes(image, upper, below), machine)


def save(changes: Changes, target: Target, machine: LocalMachine) -> None:
    """Write the overlay, its config file and the files that this one copies; each whole or not at all."""
    epoch = max((entry.member.mtime for entry in changes.entries), default=0)
    config = config_of(target.name, changes.base, changes.entries, changes.footing, changes.owned)
    members = sidecar.add(changes.entries, changes.known, "cpio.gz", epoch, machine.scratch())
    packed = machine.scratch() / "overlay"
    overlay.write(machine, members, "cpio.gz", packed, epoch)
    for place, entry in config.files.items():
        files.publish_bytes(bytes_of(entry), target.tree / place)
    files.publish_text(config.text, target.config)
    files.publish(packed, target.artifact)


def _machine(room: Path, image: str) -> LocalMachine:
    """A machine whose apt is the image's own."""
    for name in ("lists", "archives"):
        (room / name).mkdir()
    return LocalMachine(
        image, room / "scratch", AptFiles(room / "lists", room / "archives", {"apt.conf": b""}), {}, _unheard
    )


def _folders(cache: Cache, image: str) -> list[Path]:
    """The folders of an image's layers, bottom first. Raises ImagebuilderError for one that is not in the cache."""
    parts = root_parts(cache.layout, image)
    if not parts:
        raise UserError(f"`{image}` has no root filesystem")
    return [folder for part in parts for folder in _of_part(cache, part)]


def _of_part(cache: Cache, part: Part) -> list[Path]:
    for _, packed in cache.actions.all():
        steps: Sequence[str] = packed.inputs.get("upper") or packed.inputs.get("lower") or ()
        if packed.sha256 == part.sha256 and steps and all(map(cache.trees.find, steps)):
            return [cache.trees.path(step) for step in steps]
    raise ImagebuilderError(
        f"the folders that {part.title} was made of are not in the cache {cache.folder}",
        hint="`imagebuilder build` here makes them",
    )


def _changes(image: str, upper: Path, below: Path) -> Changes:
    under = view_of(capture(below))
    entries = kept(capture(upper, below), under.paths)
    footing = footing_of((), view_of(entries, databases.recorded(upper, below)), under)
    known = sidecar.Known(footing.changes, replaced(entries, below))
    return Changes(image, tuple(entries), known, footing, under, _owned(entries, footing, below))


def _owned(entries: Sequence[Entry], footing: Footing, below: Path) -> frozenset[str]:
    """The paths of packages that came, and of those that were there and went or were replaced."""
    paths = set(owners(entries))
    for change in footing.packages:
        for name in (change.name, f"{change.name}:{change.architecture}"):
            file = below / _INFO / f"{name}.list"
            if change.old and file.is_file():
                paths |= set(os.fsdecode(file.read_bytes()).splitlines())
    return frozenset(paths)


def _unheard(event: Event) -> None:
    """What programs print goes to the terminal by itself."""
