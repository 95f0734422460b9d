"""`imagebuilder catalog`: what a node is made of."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing

from imagebuilder.cli.desks import add_server_arguments, desk_of
from imagebuilder.cli.nodes import add_nodes_argument
from imagebuilder.cli.places import add_cache_argument, add_state_argument
from imagebuilder.cli.table import print_table

_EPILOG = """\
A node takes its own inventory when its agent asks for tasks for the first time. The discovery image has the tools
for all of it; an image that lacks one has `null` there.

examples:
  imagebuilder catalog r1n7
  imagebuilder catalog r1n7 --json | jq .disks
  imagebuilder catalog r1n7 --renew            the node takes it again; this waits for it
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "catalog",
        help="show what a node is made of",
        description="Show what a node is made of: machine, processor, memory, disks, network cards, neighbours.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("node", metavar="NODE", help="MAC address, UUID, name of nodes.yml or serial number")
    parser.add_argument("--renew", action="store_true", help="have the node take it again")
    parser.add_argument("--json", action="store_true", help="print all of it, one JSON object")
    add_nodes_argument(parser)
    add_state_argument(parser)
    add_cache_argument(parser)
    add_server_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the inventory that there is, or a new one."""
    from imagebuilder.errors import ImagebuilderError
    from imagebuilder.serve.follow import follow
    from imagebuilder.serve.hardware import summary

    with closing(desk_of(arguments)) as desk:
        if arguments.renew:
            task = desk.renew_inventory(arguments.node).task
            follow(desk, [task], lambda _: None, lambda text: print(text, file=sys.stderr))
        found = desk.inventory(arguments.node)
    if found.inventory is None:
        state = f"it is {found.state}" if found.state else "its agent has not asked for tasks yet"
        raise ImagebuilderError(
            f"there is no inventory of `{arguments.node}`: {state}",
            hint="it boots an image with our agent first; `imagebuilder node show` says how far it came",
            detail=found.problem,
        )
    if arguments.json:
        print(json.dumps(found.inventory))
    else:
        print_table(summary(found.inventory))
    return 0
