"""`imagebuilder diff`: what changed between two images, package by package."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagebuilder.cli.sbom import add_store_options, layout_of

if TYPE_CHECKING:
    from imagebuilder.engine.difference import LayerDifference

_EPILOG = """\
examples:
  imagebuilder diff discovery:stable discovery     what a node would get that boots the latest build
  imagebuilder diff builds.monday builds           two artifact folders

A layer is equal when its bytes are. The packages are those that `build` listed in the store.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "diff",
        help="compare the packages of two images",
        description="Compare two images layer by layer: which are equal, which packages have other versions.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = "a name in the store, `sha256:HEX`, or an artifact folder"
    parser.add_argument("old", metavar="A", help=what)
    parser.add_argument("new", metavar="B", help=what)
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
            print(*_lines(difference), sep="\n")
    return 0


def _lines(difference: LayerDifference) -> Iterator[str]:
    old, new, changes = difference.old, difference.new, difference.changes
    title = old if old == new else " -> ".join(filter(None, (old, new)))
    if difference.equal:
        yield f"{title}: equal"
        return
    state = "differs" if old and new else "only in A" if old else "only in B"
    if changes is None:
        yield f"{title}: {state}; the store does not know its packages"
        return
    yield f"{title}: {state}{'' if changes else ', with the same packages'}"
    for change in changes:
        if change.old and change.new:
            yield f"  ~ {change.package} {change.old} -> {change.new}"
        else:
            yield f"  {'-' if change.old else '+'} {change.package} {change.old or change.new}"
