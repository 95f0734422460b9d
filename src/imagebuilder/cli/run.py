"""`imagebuilder run`: a command on nodes that have booted."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from typing import TYPE_CHECKING

from imagebuilder.cli.nodes import NODE_HINT, add_nodes_argument, known_node, nodes_of
from imagebuilder.cli.places import add_cache_argument, add_state_argument, state_of

if TYPE_CHECKING:
    from imagebuilder.serve.state.database import Database
    from imagebuilder.serve.state.nodes import Node
    from imagebuilder.serve.state.tasks import Task

_EPILOG = """\
examples:
  imagebuilder run --node 52:54:00:12:34:56 -- lsblk
  imagebuilder run --node r1n7 --timeout 3600 --retries 1 -- sh -c 'dd if=/dev/sda of=/dev/null bs=1M'
  imagebuilder run --profile storage --json -- cat /proc/mdstat

The command runs as root, once: it is given to the node's agent when that asks next (every 5 s), and not again.
When the node restarts meanwhile, nobody knows how it ended, and --retries says how often it is begun again.
What it printed comes when it has ended. `imagebuilder serve` has to run; it may be restarted in between.

exit status: that of the command (of several nodes' commands, the first that is not 0); 124 when its time was over,
1 when nobody knows how it ended
"""
_LONGEST = 1_000_000


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "run",
        help="run a command on nodes",
        description="Run a command on nodes that have booted from `imagebuilder serve`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--node", metavar="NODE", help="MAC address, UUID, name of nodes.yml or serial number")
    which.add_argument("--profile", metavar="PROFILE", help="all nodes that have asked and have this profile now")
    parser.add_argument(
        "--timeout", type=_positive, default=600, metavar="SECONDS", help="for the command (default: 600)"
    )
    parser.add_argument("--retries", type=_count, default=0, metavar="N", help="begin again when lost (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with each node's result")
    add_nodes_argument(parser)
    add_state_argument(parser)
    add_cache_argument(parser)
    parser.add_argument("command", nargs="+", metavar="CMD", help="one word is a line for /bin/sh; else program, words")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Queue, wait, print; returns the command's exit status."""
    from imagebuilder.host import clock
    from imagebuilder.serve.state import tasks
    from imagebuilder.serve.state.database import Database
    from imagebuilder.serve.state.wait import await_tasks

    database = Database(state_of(arguments))
    nodes = _nodes(arguments, database)
    command = arguments.command[0] if len(arguments.command) == 1 else shlex.join(arguments.command)
    order = tasks.Order(command, arguments.timeout, arguments.retries)
    now = clock.now()
    queued = database.do(lambda connection: {tasks.queue(connection, node.id, order, now): node for node in nodes})

    def show(task: Task) -> None:
        if not arguments.json:
            _print(task, str(queued[task.id].identity) if len(queued) > 1 else "")

    try:
        results = await_tasks(database, list(queued), show)
    finally:
        database.close()
    if arguments.json:
        values = [{"node": str(queued[task.id].identity), **_value(task)} for task in results]
        print(json.dumps({"results": values}))
    return next((status for task in results if (status := _status(task))), 0)


def _nodes(arguments: argparse.Namespace, database: Database) -> list[Node]:
    """The nodes that are meant. Raises UserError when there are none."""
    from imagebuilder.errors import UserError
    from imagebuilder.serve.state import nodes

    if arguments.node:
        return [known_node(arguments, database)]
    file = nodes_of(arguments)
    found = [
        node
        for node in database.do(nodes.all_nodes)
        if (assignment := file.assignment(node.identity)) and assignment.profile.name == arguments.profile
    ]
    if not found:
        raise UserError(f"no node that has asked has the profile `{arguments.profile}`", hint=NODE_HINT)
    return found


def _print(task: Task, node: str) -> None:
    if node:
        print(f"{node}:", file=sys.stderr, flush=True)
    sys.stdout.write(task.result.stdout)
    sys.stdout.flush()
    sys.stderr.write(task.result.stderr)
    if task.result.status < 0:
        print(f"nobody knows how `{task.order.command}` ended: it is {task.state}", file=sys.stderr)


def _status(task: Task) -> int:
    return task.result.status if task.result.status >= 0 else 1


def _value(task: Task) -> dict[str, object]:
    return {"task": task.id, "state": task.state, **dataclasses.asdict(task.result)}


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"`{text}` is no number of seconds")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > _LONGEST:
        raise argparse.ArgumentTypeError(f"`{text}` is no number")
    return int(text)
