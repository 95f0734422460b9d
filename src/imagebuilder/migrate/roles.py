"""Roles in today's form: less what the build does by itself, and written anew only where they must be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from imagebuilder.errors import Location
from imagebuilder.migrate.pieces import dumped, replaced, split
from imagebuilder.migrate.variables import words
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.legacy.needless import ALONE, Context
from imagebuilder.spec.legacy.roles import OldRole, TaskFile, read_role
from imagebuilder.spec.tree import ImageSpec

WRAPPERS_OWN = frozenset(
    {
        *("make_initrd_build_env", "build_initrd", "build_rootfs", "build_squashfs", "build_overlay_archive"),
        *("ipxe", "syslinux", "micro_docker"),
    }
)
"""Roles of 2015 that were part of the program."""

_TEXTS = ("templates", "defaults", "vars", "meta")


def contexts(images: tuple[ImageSpec, ...]) -> Mapping[Path, Context]:
    """By role what the build does of it for every image that it finishes."""
    found: dict[Path, Context] = {}
    for image in images:
        if given := image.provisioner or image.needless_role:
            context = given.context
            known = found.get(given.role, context)
            found[given.role] = Context(context.kind, known.packages & context.packages, known.debs & context.debs)
    return found


def read_roles(tree: Path, known: Mapping[Path, Context]) -> Mapping[Path, OldRole]:
    """Every role of a tree but those that were part of the program."""
    folders = sorted({path.parent for path in tree.glob("roles/**/tasks")} | known.keys())
    return {
        folder: read_role(tree, folder, known.get(folder, ALONE))
        for folder in folders
        if folder in known or folder.name not in WRAPPERS_OWN
    }


def named(role: Path, read: OldRole) -> set[str]:
    """The words of what stays of a role."""
    texts = [path for part in _TEXTS for path in role.rglob(f"{part}/**/*") if path.is_file()]
    tasks = [task for file in read.files.values() for _, task in file.tasks]
    return words(tasks).union(*(words(path.read_text(errors="replace")) for path in texts))


def files(role: OldRole) -> Iterator[tuple[Path, str | None]]:
    """The files of a role that are written anew, each with its text; None for one that has nothing left."""
    left = [task for file in role.files.values() for _, task in file.tasks]
    any_file = "{{" in str([task.get("include_tasks") for task in left])
    for path, file in role.files.items():
        if not file.tasks and file.document.value:
            yield path, "[]\n" if any_file else None
        elif list(file.document.value) != [task for _, task in file.tasks]:
            yield path, _text(path.read_text(encoding="utf-8"), file)


def left_behind(tree: Path, read: Mapping[Path, OldRole]) -> frozenset[Path]:
    """The roles that do not come along: those that were part of the program."""
    return frozenset(path.parent for path in tree.glob("roles/**/tasks") if path.parent not in read)


def changes_of(folders: frozenset[Path]) -> Iterator[Change]:
    """What is told of them."""
    for folder in sorted(folders):
        yield Change(Location(folder), "a role of the old wrappers", "left out: the build does its work")


def _text(text: str, file: TaskFile) -> str:
    """A file's text in which only tasks that changed are written anew."""
    given = file.document.value
    pieces = split(text, [file.document.at(index).line for index in range(len(given))])
    kept = [
        pieces.entries[index] if task == given[index] else replaced(pieces.entries[index], dumped([task]))
        for index, task in file.tasks
    ]
    return (pieces.head + "".join(kept)).rstrip("\n") + "\n"
