"""`imagebuilder whence`: which layer, step, role and task put a path into an image."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.errors import UserError

if TYPE_CHECKING:
    from imagebuilder.engine.whence import Place

_EPILOG = """\
examples:
  imagebuilder whence /etc/motd --overlay discovery
  imagebuilder whence /usr/bin/sed --overlay discovery rescue.overlay.cpio.gz

The uppermost layer comes first: its is what a node sees. Steps and tasks are known of what was built with
this cache. exit status: 0 it is there, 1 no layer has it or the uppermost deletes it
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "whence",
        help="say where a file of an image comes from",
        description="Say which layer, step, role and task put a path into an image, and which package owns it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="PATH", help="an absolute path in the image")
    parser.add_argument(
        "--overlay",
        nargs="+",
        required=True,
        metavar="NAME",
        help="images in the store, with all that is below them, or files; from the bottom to the top",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look and print."""
    from imagebuilder.engine.whence import whence

    path = f"/{arguments.path.strip('/')}"
    if not arguments.path.startswith("/") or ".." in path.split("/"):
        raise UserError(f"`{arguments.path}` is no absolute path in an image")
    places = whence(cache_at(arguments), path, arguments.overlay)
    is_there = bool(places) and places[0].via == path and places[0].what != "whiteout"
    if arguments.json:
        print(json.dumps({"path": path, "there": is_there, "layers": [dataclasses.asdict(place) for place in places]}))
    else:
        for number, place in enumerate(places):
            print(*_lines(path, place, is_hidden=number > 0), sep="\n")
        if not places:
            print(f"{path} is in no layer")
    return 0 if is_there else 1


def _lines(path: str, place: Place, *, is_hidden: bool) -> Iterator[str]:
    hides = "" if place.via == path else f", in the place of a folder: {place.via}"
    yield f"{place.layer}: {place.what}{hides}{' (hidden)' if is_hidden else ''}"
    facts = (("step", place.step), ("by", place.part), ("role", place.role), ("package", place.package))
    yield from (f"  {name:<8} {text}" for name, text in facts if text)
