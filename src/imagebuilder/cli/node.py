"""`imagebuilder node ...`: which machine boots what."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.cli.table import print_table

if TYPE_CHECKING:
    from imagebuilder.serve.identity import Identity
    from imagebuilder.serve.nodes import Nodes

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
  imagebuilder node show 52:54:00:12:34:56
  imagebuilder node assign r1n7 inventory          changes the one line in nodes.yml
  imagebuilder node boot-script r1n7 --server 10.0.0.1:8080
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
    _add(actions, "ls", "list the entries of nodes.yml, in their order", _ls)
    show = _add(actions, "show", "what one machine boots, and which line says so", _show)
    assign = _add(actions, "assign", "give a machine another profile", _assign)
    script = _add(actions, "boot-script", "print what a machine's boot loader is told", _boot_script)
    for action in (show, assign, script):
        action.add_argument("node", metavar="NODE", help="MAC address, UUID, name or serial number")
    for action in (show, script):
        action.add_argument("--vendor", default="", metavar="TEXT", help="as a machine of this maker")
        action.add_argument("--model", default="", metavar="TEXT", help="as a machine of this model")
    assign.add_argument("profile", metavar="PROFILE", help="a profile of nodes.yml")
    script.add_argument(
        "--server", default="127.0.0.1:8080", metavar="HOST:PORT", help="as if asked there (default: 127.0.0.1:8080)"
    )
    script.add_argument("--grub", action="store_true", help="for GRUB instead of iPXE")
    for action in (show, script):
        add_place_arguments(action)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.add_argument(
        "--nodes", type=Path, default=Path("nodes.yml"), metavar="FILE", help="the file (default: nodes.yml)"
    )
    if name != "boot-script":
        parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)
    return parser


def _ls(arguments: argparse.Namespace) -> int:
    from imagebuilder.serve.nodes import read_nodes

    nodes = read_nodes(arguments.nodes)
    if arguments.json:
        entries = [
            {"wants": dict(e.wants), "name": e.name, "profile": e.profile, "image": nodes.profiles[e.profile].image}
            for e in nodes.entries
        ]
        print(json.dumps({"nodes": entries, "default": nodes.default}))
        return 0
    rows = [
        (
            " ".join(f"{key}={value}" for key, value in e.wants.items()),
            e.name or "",
            e.profile,
            nodes.profiles[e.profile].image,
        )
        for e in nodes.entries
    ]
    if nodes.default:
        rows.append(("all others", "", nodes.default, nodes.profiles[nodes.default].image))
    print_table([("MACHINE", "NAME", "PROFILE", "IMAGE"), *rows])
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from imagebuilder.serve.catalog import read_catalog
    from imagebuilder.serve.nodes import read_nodes

    nodes = read_nodes(arguments.nodes)
    identity = _identity(arguments, nodes)
    value: dict[str, str | None] = {"node": str(identity)}
    if assignment := nodes.assignment(identity):
        manifest = read_catalog(cache_at(arguments).layout).manifest(assignment.profile.image)
        value |= {
            "profile": assignment.profile.name,
            "because": str(assignment.entry.location) if assignment.entry else "default",
            "image": assignment.profile.image,
            "manifest": manifest.digest if manifest else None,
            "arguments": assignment.arguments,
        }
    else:
        value["profile"] = None
    if arguments.json:
        print(json.dumps(value))
    else:
        print_table([(name, "none" if text is None else text) for name, text in value.items()])
    return 0


def _assign(arguments: argparse.Namespace) -> int:
    from imagebuilder.host import files
    from imagebuilder.serve.assign import assigned
    from imagebuilder.serve.nodes import parse_nodes, text_of

    path: Path = arguments.nodes
    with files.locked(path.with_name(f".{path.name}.lock")):
        text = text_of(path)
        identity = _identity(arguments, parse_nodes(text, path))
        wants = {key: value for key in ("mac", "uuid", "serial") if (value := getattr(identity, key))}
        files.publish_text(assigned(text, path, wants, arguments.profile), path)
    if arguments.json:
        print(json.dumps({"node": str(identity), "profile": arguments.profile}))
    else:
        print(f"{identity} {arguments.profile}")
    return 0


def _boot_script(arguments: argparse.Namespace) -> int:
    from imagebuilder.serve.catalog import read_catalog
    from imagebuilder.serve.nodes import read_nodes, start_for
    from imagebuilder.serve.scripts import Loader, boot_script

    nodes = read_nodes(arguments.nodes)
    identity = _identity(arguments, nodes)
    start = start_for(read_catalog(cache_at(arguments).layout), nodes, identity)
    loader = Loader.GRUB if arguments.grub else Loader.IPXE
    sys.stdout.write(boot_script(loader, start, arguments.server, identity))
    return 0


def _identity(arguments: argparse.Namespace, nodes: Nodes) -> Identity:
    """The machine that the user means."""
    from imagebuilder.serve.identity import Identity, normal_mac, normal_uuid

    given: str = arguments.node
    more = {"vendor": getattr(arguments, "vendor", ""), "model": getattr(arguments, "model", "")}
    for entry in nodes.entries:
        if entry.name == given:
            return Identity(**{**more, **{key: text for key, text in entry.wants.items() if key not in more}})
    for key, normal in (("mac", normal_mac), ("uuid", normal_uuid)):
        try:
            return Identity(**{**more, key: normal(given)})
        except ValueError:
            continue
    return Identity(**more, serial=given)
