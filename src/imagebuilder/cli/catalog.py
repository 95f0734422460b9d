"""`imagebuilder catalog`: what a node is made of."""

from __future__ import annotations

import argparse
import json

from imagebuilder.cli.nodes import add_nodes_argument, known_node
from imagebuilder.cli.places import add_cache_argument, add_state_argument, state_of
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
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the inventory that there is, or a new one."""
    from imagebuilder.errors import ImagebuilderError
    from imagebuilder.host import clock
    from imagebuilder.serve.hardware import summary
    from imagebuilder.serve.state import tasks
    from imagebuilder.serve.state.database import Database
    from imagebuilder.serve.state.wait import await_tasks

    database = Database(state_of(arguments))
    try:
        node = known_node(arguments, database)
        if arguments.renew:
            now = clock.now()
            queued = database.do(lambda connection: tasks.queue(connection, node.id, tasks.TAKE_INVENTORY, now))
            await_tasks(database, [queued])
        task = database.do(lambda connection: tasks.inventory_of(connection, node.id))
    finally:
        database.close()
    if task is None or task.state != tasks.DONE:
        state = f"it is {task.state}" if task else "its agent has not asked for tasks yet"
        raise ImagebuilderError(
            f"there is no inventory of `{arguments.node}`: {state}",
            hint="it boots an image with our agent first; `imagebuilder node show` says how far it came",
            detail=task.result.stderr if task else "",
        )
    if arguments.json:
        print(task.result.stdout.rstrip())
    else:
        print_table(summary(json.loads(task.result.stdout)))
    return 0
