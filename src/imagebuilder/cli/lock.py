"""`imagebuilder lock`: pin every package, role and file of a tree."""

from __future__ import annotations

import argparse
import json
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.build import add_tree_arguments, extra_of, playbook_at
from imagebuilder.cli.places import add_cache_argument, cache_folder
from imagebuilder.errors import ImagebuilderError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imagebuilder.resolve.changes import Change
    from imagebuilder.resolve.lock import Lock
    from imagebuilder.spec.tree import TreeSpec

_DESCRIPTION = """\
Write imagebuilder.lock into the tree: every package of every image with its version and sha256, and
the digests of roles and files. `imagebuilder build` then uses exactly these, and the network only for
packages that are not on this machine.

A lock that is there already is brought up to date: what changed in the tree is resolved anew, all else
keeps its version.
"""
_EPILOG = """\
examples:
  imagebuilder lock                       make it, or bring it up to date
  imagebuilder lock --upgrade             the newest version of everything
  imagebuilder lock --upgrade curl jq     the newest curl and jq, and what they need for it
  imagebuilder lock --check               for CI: exit status 1 if the tree has moved on
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "lock",
        help="pin the packages of a tree",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "playbook", nargs="?", type=Path, help="the playbook (default: the lock's own; all.yml, images/all.yml)"
    )
    add_tree_arguments(parser)
    add_cache_argument(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--upgrade",
        nargs="*",
        action="extend",
        metavar="PACKAGE",
        help="take the newest version of these packages, or of all",
    )
    what.add_argument("--check", action="store_true", help="write nothing; exit status 1 if the lock is out of date")
    parser.add_argument("--json", action="store_true", help="the report as JSON on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the tree's lock, or write it and say what changed."""
    from imagebuilder.resolve.changes import changes
    from imagebuilder.resolve.lock import FILE, read_lock
    from imagebuilder.spec.tree import load_tree

    playbook = _playbook(arguments.playbook)
    tree = load_tree(playbook, extra_of(arguments))
    old = read_lock(tree.root)
    if arguments.check:
        return _check(tree, old, as_json=arguments.json)
    new = write_lock(tree, old, arguments.upgrade, cache_folder(arguments))
    found = changes(old, new)
    if arguments.json:
        rows = [{"image": c.image, "package": c.package, "before": c.before, "after": c.after} for c in found]
        print(json.dumps({"lock": str(tree.root / FILE), "changes": rows}, indent=1))
    elif old:
        _print(found)
    print(f"{tree.root / FILE}: {_summary(old, new, found)}", file=sys.stderr)
    return 0


def write_lock(tree: TreeSpec, old: Lock | None, upgrade: Sequence[str] | None, cache: Path) -> Lock:
    """Make the tree's lock anew or bring it up to date (`engine.relock`), with progress on standard error."""
    from contextlib import ExitStack

    from imagebuilder.console import progress
    from imagebuilder.engine.packages import Packages
    from imagebuilder.engine.relock import relock
    from imagebuilder.host.files import publish_text
    from imagebuilder.resolve.lock import FILE, text_of

    with progress(as_json=False, verbose=False) as report, ExitStack() as stack:
        lock = relock(tree, old, upgrade, Packages(tree.settings, cache, report, stack))
    publish_text(text_of(lock), tree.root / FILE)
    return lock


def _playbook(given: Path | None) -> Path:
    """The playbook that is named, else the one that the lock is of."""
    from imagebuilder.resolve.lock import read_lock

    default = playbook_at(given)
    lock = None if given and not given.is_dir() else read_lock(default.parent)
    return default.parent / lock.playbook if lock else default


def _check(tree: TreeSpec, lock: Lock | None, *, as_json: bool) -> int:
    from imagebuilder.plan.lock import stale
    from imagebuilder.resolve.lock import FILE

    if lock is None:
        raise ImagebuilderError(f"{tree.root} has no {FILE}", hint="`imagebuilder lock` makes it")
    if lock.playbook != tree.playbook:
        raise UserError(f"{tree.root / FILE} is that of `{lock.playbook}`, not of `{tree.playbook}`")
    found = stale(lock, tree)
    if as_json:
        places = ((str(d.location.file), d.location.line, d.key, d.text) for d in found)
        print(json.dumps([dict(zip(("file", "line", "key", "text"), place, strict=True)) for place in places]))
    else:
        for difference in found:
            print(difference)
    return 1 if found else 0


def _print(found: Sequence[Change]) -> None:
    for image, group in groupby(found, key=lambda change: change.image):
        print(image)
        for change in group:
            print(change)


def _summary(old: Lock | None, new: Lock, found: Sequence[Change]) -> str:
    if old is None:
        debs = {deb for image in new.images.values() for deb in image.packages.debs} | set(new.python)
        return f"{len(new.images)} images, {len(debs)} packages"
    return "the packages stay as they were" if not found else f"{len(found)} changes"
