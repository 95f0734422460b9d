"""What `shell IMAGE` and `capture` have in common: they show what was done by hand, and save it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.errors import UserError

if TYPE_CHECKING:
    from imagebuilder.engine.handmade import Changes, Target
    from imagebuilder.host.local import LocalMachine

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_SHOWN = 40


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where an overlay is written."""
    parser.add_argument(
        "--folder", type=Path, default=Path(), metavar="DIR", help="where NAME.overlay.cpio.gz goes (default: .)"
    )
    parser.add_argument(
        "--tree",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="the tree that gets vars/NAME.yml, files/NAME (default: .)",
    )


def target_of(name: str, arguments: argparse.Namespace) -> Target:
    """The target that they say. Raises UserError for what is no name, or taken."""
    from imagebuilder.engine.handmade import Target

    if not _NAME.fullmatch(name):
        raise UserError(f"`{name}` is no name of an image")
    target = Target(name, arguments.folder.resolve(), arguments.tree.resolve())
    target.refuse_taken()
    return target


def saved_to(target: Target | None, say: Callable[[str], None]) -> Callable[[Changes, LocalMachine], None]:
    """Shows changes, and writes them to a target if there is one and there are any."""

    def then(changes: Changes, machine: LocalMachine) -> None:
        from imagebuilder.engine.handmade import save

        for line in _lines(changes):
            say(line)
        if target and len(changes.entries) > 1:
            save(changes, target, machine)
            say(f"saved as {target.artifact}, and as {target.config}")

    return then


def _lines(changes: Changes) -> Iterator[str]:
    below = changes.below.paths
    entries = [entry for entry in changes.entries if entry.kind != "folder" or entry.path not in below]
    yield f"{len(entries)} paths changed" if entries else "nothing changed"
    for entry in entries[:_SHOWN]:
        sign = "-" if entry.kind == "whiteout" else "~" if entry.path in below else "+"
        yield f"  {sign} {entry.path}"
    if len(entries) > _SHOWN:
        yield f"  and {len(entries) - _SHOWN} more"
    for change in changes.footing.packages:
        yield f"  package {change.name} {change.old or '(none)'} -> {change.new or '(none)'}"
