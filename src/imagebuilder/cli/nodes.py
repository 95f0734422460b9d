"""`--nodes`, and which machine a user means, for every verb that is about nodes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

DEFAULT = Path("nodes.yml")
NODE_HINT = "`imagebuilder node ls` lists the nodes that have asked"

if TYPE_CHECKING:
    from imagebuilder.serve.identity import Identity
    from imagebuilder.serve.nodes import Nodes
    from imagebuilder.serve.state.database import Database
    from imagebuilder.serve.state.nodes import Node


def add_nodes_argument(parser: argparse.ArgumentParser) -> None:
    """Declare it."""
    parser.add_argument(
        "--nodes", type=Path, metavar="FILE", help="which machine gets what (default: nodes.yml here, if there is one)"
    )


def nodes_of(arguments: argparse.Namespace) -> Nodes:
    """What the named nodes.yml says, or the one in this folder; nothing where there is none."""
    from imagebuilder.serve.nodes import Nodes, read_nodes

    return read_nodes(arguments.nodes or DEFAULT) if arguments.nodes or DEFAULT.exists() else Nodes()


def identity_of(arguments: argparse.Namespace, nodes: Nodes) -> Identity:
    """The machine that the user means."""
    from imagebuilder.serve.identity import Identity, normal_mac, normal_uuid

    given: str = arguments.node
    more = {"vendor": getattr(arguments, "vendor", ""), "model": getattr(arguments, "model", "")}
    for entry in nodes.entries:
        if entry.name == given:
            return Identity(**{**more, **{key: text for key, text in entry.wants if key not in more}})
    for key, normal in (("mac", normal_mac), ("uuid", normal_uuid)):
        try:
            return Identity(**{**more, key: normal(given)})
        except ValueError:
            continue
    return Identity(**more, serial=given)


def known_node(arguments: argparse.Namespace, database: Database) -> Node:
    """The node that the user means, as the server remembers it. Raises UserError for one that has never asked."""
    from imagebuilder.errors import UserError
    from imagebuilder.serve.state import nodes

    identity = identity_of(arguments, nodes_of(arguments))
    node = database.do(lambda connection: nodes.find(connection, identity))
    if node is None:
        raise UserError(f"`{arguments.node}` has never asked for a boot script", hint=NODE_HINT)
    return node
