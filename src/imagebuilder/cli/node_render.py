"""`imagebuilder node render`: the layer of a node's own, as it would get it now."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.nodes import nodes_of
from imagebuilder.cli.places import add_cache_argument, add_state_argument, database_of
from imagebuilder.console import size_text
from imagebuilder.errors import UserError

if TYPE_CHECKING:
    from imagebuilder.serve.identity import Identity
    from imagebuilder.serve.nodelayer.layer import NodeLayer, Shown
    from imagebuilder.serve.state.database import Database
    from imagebuilder.serve.state.layers import Given

EPILOG = """\
A profile's `files:` in nodes.yml are templates; each node gets its own files of them, as a layer on top of its image.
Secrets are masked wherever files are shown, and are in the file that --output writes.

examples:
  imagebuilder node render r1n7                     what its files would be now
  imagebuilder node render r1n7 --diff              what has changed since it last asked for its boot script
  imagebuilder node render r1n7 --output r1n7.overlay.cpio.gz
  imagebuilder whence /etc/hostname --overlay discovery r1n7.overlay.cpio.gz

exit status: 0 done (with --diff: nothing has changed), 1 with --diff something has, 2 the file or the node is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what it takes besides NODE."""
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--diff", action="store_true", help="show what is another than what the node was last given")
    how.add_argument("--output", type=Path, metavar="FILE", help="write the layer, secrets included, for root alone")
    add_cache_argument(parser)
    add_state_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Render and print."""
    from imagebuilder.host import files

    nodes = nodes_of(arguments)
    seen = _seen(database_of(arguments), nodes.identity(arguments.node, arguments.vendor, arguments.model))
    identity = seen.identity
    assignment = nodes.assignment(identity)
    layer = assignment.layer(identity) if assignment else None
    if layer is None:
        what = f"the profile `{assignment.profile.name}` has no files" if assignment else "no profile is for it"
        raise UserError(f"{identity} has no layer of its own: {what}", hint="`files:` of a profile in nodes.yml")
    if arguments.output:
        files.publish_bytes(layer.data, arguments.output, mode=0o600)
    if layer.is_secret:
        print("it has secrets: nodes get it over HTTPS only", file=sys.stderr)
    if arguments.diff:
        return _print_difference(arguments, seen, layer)
    if arguments.json:
        print(json.dumps({"node": str(identity), **_as_json(layer)}))
    else:
        print(f"sha256:{layer.sha256}  {size_text(len(layer.data))}", *_lines(layer.files), sep="\n")
    return 0


def _lines(files: tuple[Shown, ...]) -> Iterator[str]:
    from imagebuilder.serve.nodelayer.difference import head_of

    for file in files:
        yield ""
        yield head_of(file)
        yield from (f"  {line}" for line in file.content.splitlines())


def _print_difference(arguments: argparse.Namespace, seen: _Seen, layer: NodeLayer) -> int:
    from imagebuilder.serve.nodelayer.difference import difference
    from imagebuilder.serve.nodelayer.layer import shown_of_text

    lines = list(difference(shown_of_text(seen.given.files) if seen.given else (), layer.files))
    last = seen.given.sha256 if seen.given else None
    if arguments.json:
        changed = {"node": str(seen.identity), "last": last and f"sha256:{last}", "difference": lines}
        print(json.dumps({**changed, **_as_json(layer)}))
    elif lines:
        print(*lines, sep="\n")
    elif last != layer.sha256:
        print("only secrets have changed")
    return 0 if last == layer.sha256 else 1


@dataclass(frozen=True, slots=True)
class _Seen:
    """A machine, with all that it has said of itself if it has ever asked, and what it was given then."""

    identity: Identity
    given: Given | None = None


def _seen(database: Database | None, identity: Identity) -> _Seen:
    from sqlalchemy import Connection

    from imagebuilder.serve.state import layers, nodes

    if database is None:
        return _Seen(identity)

    def read(connection: Connection) -> _Seen:
        node = nodes.find(connection, identity)
        return _Seen(node.identity, layers.last(connection, node.id)) if node else _Seen(identity)

    with closing(database):
        return database.do(read)


def _as_json(layer: NodeLayer) -> dict[str, object]:
    return {
        "digest": f"sha256:{layer.sha256}",
        "size": len(layer.data),
        "secret": layer.is_secret,
        "files": [asdict(file) for file in layer.files],
    }
