"""`imagebuilder run`: a command on nodes that have booted."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from imagebuilder.cli.desks import add_server_arguments, desk_of
from imagebuilder.cli.nodes import add_nodes_argument
from imagebuilder.cli.places import add_cache_argument, add_state_argument

if TYPE_CHECKING:
    from imagebuilder.serve.state.output import News
    from imagebuilder.serve.state.tasks import Task

_EPILOG = """\
examples:
  imagebuilder run --node 52:54:00:12:34:56 -- lsblk
  imagebuilder run --node r1n7 --timeout 3600 --retries 1 -- sh -c 'dd if=/dev/sda of=/dev/null bs=1M'
  imagebuilder run --node r1n7 --destroys erase --yes -- blkdiscard /dev/sda
  imagebuilder run --profile storage --json -- cat /proc/mdstat
  imagebuilder run --server https://boot.lan:8443 --node r1n7 -- reboot      IMAGEBUILDER_TOKEN says who you are

The command runs as root, once: it is given to the node's agent when that asks next (every 5 s), and not again.
When the node restarts meanwhile, nobody knows how it ended, and --retries says how often it is begun again.
What it says comes while it runs; of several nodes, when each has ended. `imagebuilder serve` has to run; it may be
restarted in between.

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
    parser.add_argument(
        "--destroys",
        choices=("erase", "flash"),
        default="",
        help="say that it does; the node's profile has to allow it",
    )
    parser.add_argument("--yes", action="store_true", help="with --destroys: yes, you are sure")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with each node's result")
    add_nodes_argument(parser)
    add_state_argument(parser)
    add_cache_argument(parser)
    add_server_arguments(parser)
    parser.add_argument("command", nargs="+", metavar="CMD", help="one word is a line for /bin/sh; else program, words")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Queue, follow, print; returns the command's exit status."""
    from imagebuilder.errors import UserError
    from imagebuilder.serve.follow import follow
    from imagebuilder.serve.state.tasks import Order

    command = arguments.command[0] if len(arguments.command) == 1 else shlex.join(arguments.command)
    order = Order(command, arguments.timeout, arguments.retries, destroys=arguments.destroys)
    if arguments.destroys and not arguments.yes:
        raise UserError(f"this would {arguments.destroys}, and cannot be undone", hint="`--yes` if you are sure")
    with closing(desk_of(arguments)) as desk:
        queued = [desk.order(arguments.node, order)] if arguments.node else desk.order_all(arguments.profile, order)
        show = _Printer() if len(queued) == 1 else _print_ended
        results = follow(desk, [it.task for it in queued], _ignore if arguments.json else show, _say)
    if arguments.json:
        print(json.dumps({"results": [{"node": task.node, **_value(task)} for task in results]}))
    return next((status for task in results if (status := _status(task))), 0)


class _Printer:
    """Prints what one command says as soon as it is known, byte for byte."""

    def __init__(self) -> None:
        self._given = 0
        self._said = {"stdout": b"", "stderr": b""}

    def __call__(self, news: News) -> None:
        if news.given != self._given:
            if any(self._said.values()):
                _say("nobody knows how it ended: it is begun again")
            self._given, self._said = news.given, {"stdout": b"", "stderr": b""}
        self._print("stdout", news.stdout)
        self._print("stderr", news.stderr)
        if news.ended:
            self._print("stdout", self._rest("stdout", news.ended.result.stdout))
            self._print("stderr", self._rest("stderr", news.ended.result.stderr))
            _print_loss(news.ended)

    def _print(self, stream: str, data: bytes) -> None:
        self._said[stream] += data
        output = sys.stdout if stream == "stdout" else sys.stderr
        output.buffer.write(data)
        output.flush()

    def _rest(self, stream: str, text: str) -> bytes:
        """What the result has beyond what came before. What is no text came to its end, or is lost."""
        before, whole = self._said[stream].replace(b"\0", b""), text.encode()
        return whole[len(before) :] if whole.startswith(before) else b""


def _print_ended(news: News) -> None:
    """Of several commands, each when it has ended: so that their words do not mix."""
    if task := news.ended:
        _say(f"{task.node}:")
        sys.stdout.write(task.result.stdout)
        sys.stdout.flush()
        sys.stderr.write(task.result.stderr)
        _print_loss(task)


def _print_loss(task: Task) -> None:
    if task.result.status < 0:
        _say(f"nobody knows how `{task.order.command}` ended: it is {task.state}")


def _ignore(_: News) -> None:
    """It is all in the results."""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
