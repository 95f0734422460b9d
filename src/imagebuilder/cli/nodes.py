"""`--nodes`, for every verb that is about nodes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

DEFAULT = Path("nodes.yml")

if TYPE_CHECKING:
    from imagebuilder.serve.nodes import Nodes


def add_nodes_argument(parser: argparse.ArgumentParser) -> None:
    """Declare it."""
    parser.add_argument(
        "--nodes", type=Path, metavar="FILE", help="which machine gets what (default: nodes.yml here, if there is one)"
    )


def nodes_of(arguments: argparse.Namespace) -> Nodes:
    """What the named nodes.yml says, or the one in this folder; nothing where there is none."""
    from imagebuilder.serve.nodes import Nodes, read_nodes

    return read_nodes(arguments.nodes or DEFAULT) if arguments.nodes or DEFAULT.exists() else Nodes()
