"""`imagebuilder node ...`: which machine boots what."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imagebuilder.cli import node_render
from imagebuilder.cli.desks import add_server_arguments, desk_of
from imagebuilder.cli.nodes import add_nodes_argument, nodes_of
from imagebuilder.cli.places import add_cache_argument, add_place_arguments, add_state_argument, cache_at
from imagebuilder.cli.table import print_table
from imagebuilder.console import size_text

if TYPE_CHECKING:
    from imagebuilder.serve.desk import MachineDetails
    from imagebuilder.serve.state.boots import Event

_EPILOG = """\
nodes.yml says which machine boots what; `imagebuilder serve --nodes nodes.yml` follows it:

  profiles:
    inventory: {image: "discovery:stable", arguments: "console=ttyS0,115200n8"}
    storage: {image: raid}
  nodes:                                   # the first entry that fits a machine counts
    - {mac: "52:54:00:12:34:56", name: r1n7, profile: storage, arguments: nb.onfail=shell}
    - {serial: CN7016, profile: storage}
    - {vendor: "Dell*", model: "PowerEdge R7*", profile: storage}
  default: inventory                       # for all others; without it they get nothing

NODE is a MAC address, a UUID, a name of the file, or a serial number.

examples:
  imagebuilder node ls
  imagebuilder node ls --server https://boot.lan:8443      from any machine; IMAGEBUILDER_TOKEN says who you are
  imagebuilder node show 52:54:00:12:34:56
  imagebuilder node assign r1n7 inventory          changes the one line in nodes.yml
  imagebuilder node boot-script r1n7 --address 10.0.0.1:8080
  imagebuilder node render r1n7                    the files that it alone gets, of templates
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb and what can be done."""
    parser = verbs.add_parser(
        "node",
        help="say which machine boots what",
        description="Say which machine boots what, and change it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = _add(actions, "ls", "list machines: those that have asked, then the other entries of nodes.yml", _ls)
    show = _add(actions, "show", "what one machine boots, and which line says so", _show)
    assign = _add(actions, "assign", "give a machine another profile", _assign)
    script = _add(actions, "boot-script", "print what a machine's boot loader is told", _boot_script)
    render = _add(actions, "render", "print the files of a machine's own layer", node_render.run)
    for action in (show, assign, script, render):
        action.add_argument("node", metavar="NODE", help="MAC address, UUID, name or serial number")
    for action in (show, script, render):
        action.add_argument("--vendor", default="", metavar="TEXT", help="as a machine of this maker")
        action.add_argument("--model", default="", metavar="TEXT", help="as a machine of this model")
    assign.add_argument("profile", metavar="PROFILE", help="a profile of nodes.yml")
    script.add_argument(
        "--address", default="127.0.0.1:8080", metavar="HOST:PORT", help="as if asked there (default: 127.0.0.1:8080)"
    )
    script.add_argument("--grub", action="store_true", help="for GRUB instead of iPXE")
    for action in (show, script):
        add_place_arguments(action)
    for action in (listing, assign):
        add_cache_argument(action)
    for action in (listing, show, assign):
        add_state_argument(action)
        add_server_arguments(action)
    node_render.add_arguments(render)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    add_nodes_argument(parser)
    if name != "boot-script":
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)
    return parser


def _ls(arguments: argparse.Namespace) -> int:
    with closing(desk_of(arguments)) as desk:
        machines = desk.machines()
    if arguments.json:
        print(json.dumps({"nodes": [dataclasses.asdict(machine) for machine in machines]}))
        return 0
    rows = [(m.machine, m.name, m.profile, m.image, m.state, _date(m.seen)) for m in machines]
    print_table([("MACHINE", "NAME", "PROFILE", "IMAGE", "STATE", "SEEN"), *rows])
    return 0


def _show(arguments: argparse.Namespace) -> int:
    with closing(desk_of(arguments)) as desk:
        machine = desk.machine(arguments.node, arguments.vendor, arguments.model)
    value = dataclasses.asdict(machine)
    if arguments.json:
        print(json.dumps(value))
    else:
        names = (
            ("node", "profile", "because", "image", "manifest", "arguments") if machine.profile else ("node", "profile")
        )
        print_table([(name, "none" if value[name] is None else value[name]) for name in names])
        _print_history(machine)
    return 0


def _print_history(history: MachineDetails) -> None:
    from imagebuilder.serve.listing import state_of_boot

    if history.boots:
        rows = [
            (str(b.number), _date(b.started), b.choice.image, b.choice.manifest[7:19], state_of_boot(b))
            for b in history.boots
        ]
        print()
        print_table([("BOOT", "AT", "IMAGE", "MANIFEST", "STATE"), *rows])
    if history.events:
        print(f"\nboot {history.boots[0].number}:")
        print_table([("SECONDS", "PHASE", "BYTES", ""), *map(_event_row, history.events)])
    if history.boots and history.boots[0].log:
        print(f"\nthe end of its log:\n{history.boots[0].log.rstrip()}")


def _event_row(event: Event) -> tuple[str, str, str, str]:
    size = size_text(event.bytes) if event.bytes else ""
    return f"{event.ms / 1000:.1f}", event.phase, size, " ".join(filter(None, (event.code, event.detail)))


def _assign(arguments: argparse.Namespace) -> int:
    with closing(desk_of(arguments)) as desk:
        done = desk.assign(arguments.node, arguments.profile)
    print(json.dumps(dataclasses.asdict(done)) if arguments.json else f"{done.node} {done.profile}")
    return 0


def _boot_script(arguments: argparse.Namespace) -> int:
    from imagebuilder.serve.catalog import read_catalog
    from imagebuilder.serve.nodes import start_for
    from imagebuilder.serve.scripts import Loader, boot_script

    nodes = nodes_of(arguments)
    identity = nodes.identity(arguments.node, arguments.vendor, arguments.model)
    start = start_for(read_catalog(cache_at(arguments).layout), nodes, identity)
    loader = Loader.GRUB if arguments.grub else Loader.IPXE
    sys.stdout.write(boot_script(loader, start, arguments.address, identity))
    return 0


def _date(seconds: int) -> str:
    """A time in the local zone; "" for none."""
    return f"{datetime.fromtimestamp(seconds, UTC).astimezone():%Y-%m-%d %H:%M:%S}" if seconds else ""
