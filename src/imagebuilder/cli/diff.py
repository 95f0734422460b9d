"""`imagebuilder diff`: what changed between two images, package by package and file by file."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagebuilder.cli.sbom import add_store_options, layout_of

if TYPE_CHECKING:
    from imagebuilder.engine.difference import LayerDifference

_FILES = 20
_EPILOG = """\
examples:
  imagebuilder diff discovery:stable discovery     what a node would get that boots the latest build
  imagebuilder diff builds.monday builds           two artifact folders
  imagebuilder diff old/x.overlay.cpio.gz x.overlay.cpio.gz

A layer is equal when its bytes are. The packages are those that `build` listed in the store; of files all
counts but times.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "diff",
        help="compare the packages and files of two images",
        description="Compare two images layer by layer: which are equal, which packages and files differ.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = "a name in the store, `sha256:HEX`, an artifact folder, or a file"
    parser.add_argument("old", metavar="A", help=what)
    parser.add_argument("new", metavar="B", help=what)
    parser.add_argument("--all", action="store_true", help="name every file that differs, not only the first ones")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_store_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare and print."""
    from imagebuilder.engine.difference import compare
    from imagebuilder.engine.parts import read_parts

    layout = layout_of(arguments)
    differences = compare(read_parts(layout, arguments.old), read_parts(layout, arguments.new))
    if arguments.json:
        equal = all(difference.equal for difference in differences)
        print(json.dumps({"equal": equal, "layers": [dataclasses.asdict(difference) for difference in differences]}))
    else:
        for difference in differences:
            print(*_lines(difference, len(difference.files or ()) if arguments.all else _FILES), sep="\n")
    return 0


def _lines(difference: LayerDifference, limit: int) -> Iterator[str]:
    """A layer in lines, with up to `limit` files."""
    old, new, changes = difference.old, difference.new, difference.changes
    title = old if old == new else " -> ".join(filter(None, (old, new)))
    if difference.equal:
        yield f"{title}: equal"
        return
    state = "differs" if old and new else "only in A" if old else "only in B"
    if changes is None:
        yield f"{title}: {state}; the store does not know its packages"
    else:
        yield f"{title}: {state}{'' if changes else ', with the same packages'}"
    for change in changes or ():
        if change.old and change.new:
            yield f"  ~ {change.package} {change.old} -> {change.new}"
        else:
            yield f"  {'-' if change.old else '+'} {change.package} {change.old or change.new}"
    files = difference.files or ()
    for file in files[:limit]:
        sign = "~" if file.how else "-" if file.old else "+"
        yield f"  {sign} {file.path}" + (f": {', '.join(file.how)}" if file.how else "")
    if len(files) > limit:
        yield f"  and {len(files) - limit} more files (`--all` names them)"
