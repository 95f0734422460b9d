"""Shells in images, and overlays out of what was done there, or on a node."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.checking import root_parts
from imagebuilder.engine.inspection import owners
from imagebuilder.engine.merge import merge
from imagebuilder.engine.node_changes import Booted, Node, booted_image, fetch_changes
from imagebuilder.engine.parts import Part
from imagebuilder.engine.shell import run_shell
from imagebuilder.engine.unpacked import opened
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.events import Event
from imagebuilder.host import files
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.host.mounts import mounted
from imagebuilder.steps import cpio, databases, overlay, sidecar
from imagebuilder.steps.databases import is_database
from imagebuilder.steps.footing import Footing, footing_of
from imagebuilder.steps.handmade import config_of, kept
from imagebuilder.steps.layer import Entry, Listed, bytes_of, capture, contents_of, marked, meant, replaced
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


Then = Callable[["Changes", LocalMachine], None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What was done on the image `base`: entries, what travels with them, and what they stand on."""

    base: str
    entries: tuple[Entry, ...]
    known: sidecar.Known
    footing: Footing
    below: View
    owned: frozenset[str]


def shell_in(cache: Cache, image: str, environment: Mapping[str, str], then: Then) -> int:
    """Run a shell on a writable view of an image of the store, in a private namespace; returns its exit status.

    Afterwards `then` is given what changed; nothing of it stays.
    """
    with cache.used(), files.workroom(cache.folder / "shells") as room:
        parts = _parts(cache, image)
        machine, upper = _machine(room, image), room / "upper"
        lower = [folder for part in parts for folder in _of_part(cache, part)]
        upper.mkdir()
        with mounted("imagebuilder", room / "scratch", "tmpfs"):
            with machine.overlay(lower, upper) as view:
                status = run_shell(machine, image, view, (), environment)
            with machine.overlay(lower) as below:
                then(_changes(image, parts, capture(upper, below), capture(below)), machine)
    return status


def capture_from(cache: Cache, upper: Path, image: str, then: Then) -> None:
    """Give `then` what an upperdir, made on an image of the store, says.

    Raises UserError for what is no upperdir, and for devices.
    """
    if not upper.is_dir():
        raise UserError(f"there is no folder `{upper}`")
    with cache.used(), files.workroom(cache.folder / "shells") as room:
        _captured(room, image, _parts(cache, image), marked(upper), then)


def capture_node(cache: Cache, node: Node, image: str | None, then: Then, say: Callable[[str], None]) -> None:
    """Give `then` what was changed on a node since it booted `image`, by default the one in the store that it booted.

    Raises UserError for a node that booted another image, or one that is not in the store.
    """
    with cache.used(), files.workroom(cache.folder / "shells") as room:
        chosen: list[tuple[str, tuple[Part, ...]]] = []

        def accept(stack: tuple[Booted, ...]) -> None:
            chosen.append(booted_image(cache.layout, node, stack, image))
            say(f"{node} booted `{chosen[0][0]}`: {', '.join(layer.name for layer in stack)}")

        (room / "node").mkdir(0o700)  # there are passwords and keys among it
        entries = fetch_changes(node, room / "node", accept)
        _captured(room, *chosen[0], entries, then)


def _captured(room: Path, image: str, parts: Sequence[Part], upper: Iterable[Entry], then: Then) -> None:
    """Give `then` what the names of an upperdir mean over the layers `parts`."""
    (room / "scratch").mkdir(0o700)
    machine = _machine(room, image)
    with ExitStack() as stack:
        base, *overlays = (stack.enter_context(opened(part.file, room)) for part in parts)
        together = merge(machine, [replace(base, replaces=frozenset()), *overlays]).entries
        below = [entry for entry in together if entry.kind != "whiteout"]
        entries = cpio.number(meant(upper, Listed.of(below)))
        then(_changes(image, parts, entries, below), machine)


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


def _parts(cache: Cache, image: str) -> tuple[Part, ...]:
    """The layers of an image, bottom first. Raises UserError for one without a root filesystem."""
    parts = root_parts(cache.layout, image)
    if not parts:
        raise UserError(f"`{image}` has no root filesystem")
    return parts


def _of_part(cache: Cache, part: Part) -> list[Path]:
    """The folders that a layer was made of. Raises ImagebuilderError when they are not in the cache."""
    for _, packed in cache.actions.all():
        steps: Sequence[str] = packed.inputs.get("upper") or packed.inputs.get("lower") or ()
        if packed.sha256 == part.sha256 and steps and all(map(cache.trees.find, steps)):
            return [cache.trees.path(step) for step in steps]
    raise ImagebuilderError(
        f"the folders that {part.title} was made of are not in the cache {cache.folder}",
        hint="`imagebuilder build` here makes them",
    )


def _changes(image: str, parts: Sequence[Part], upper: Sequence[Entry], below: Sequence[Entry]) -> Changes:
    """What the captured entries of an upperdir changed on what the layers `parts` have together."""
    under = view_of(below)
    entries = kept(upper, under.paths)
    contents, before = contents_of(entries), contents_of(below)
    changed = {name: contents(name) for name in (e.path[1:] for e in entries if e.kind == "file") if is_database(name)}
    lists = databases.changed(changed, before)
    footing = footing_of(tuple(part.sha256 for part in parts), view_of(entries, lists), under)
    known = sidecar.Known(
        footing.changes,
        replaced(entries, Listed.of(below)),
        replace(footing, changes={}).to_json().encode(),
    )
    return Changes(image, tuple(entries), known, footing, under, _owned(entries, footing, before))


def _owned(entries: Sequence[Entry], footing: Footing, below: Callable[[str], bytes]) -> frozenset[str]:
    """The paths of packages that came, and of those that were there and went or were replaced."""
    paths = set(owners(entries))
    for change in footing.packages:
        for name in (change.name, f"{change.name}:{change.architecture}"):
            if change.old:
                paths |= set(os.fsdecode(below(f"{_INFO}/{name}.list")).splitlines())
    return frozenset(paths)


def _unheard(event: Event) -> None:
    """What programs print goes to the terminal by itself."""
