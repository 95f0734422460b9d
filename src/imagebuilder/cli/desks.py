"""`--server`: an operator's verbs ask a server that runs somewhere, or read what one has left here."""

from __future__ import annotations

import argparse
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.nodes import DEFAULT, nodes_of
from imagebuilder.cli.places import cache_at, database_of, token_file
from imagebuilder.errors import UserError

if TYPE_CHECKING:
    from imagebuilder.serve.desk import Desk

_TOKEN = "IMAGEBUILDER_TOKEN"


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    group = parser.add_argument_group("a server that runs elsewhere (otherwise: what it remembers, here)")
    group.add_argument("--server", metavar="URL", help="ask this one: http://HOST:PORT or https://HOST:PORT")
    group.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"who you are to it (default: the variable {_TOKEN}, else that of a server here)",
    )
    group.add_argument("--ca-file", type=Path, metavar="FILE", help="trust the authorities in this PEM file, no others")


def desk_of(arguments: argparse.Namespace) -> Desk:
    """What the user's questions go to; to be closed."""
    from imagebuilder.serve.catalog import read_catalog
    from imagebuilder.serve.local import LocalDesk

    if arguments.server:
        return _remote(arguments)
    return LocalDesk(
        database_of(arguments),
        lambda: nodes_of(arguments),
        lambda: read_catalog(cache_at(arguments).layout),
        arguments.nodes or DEFAULT,
        _who(),
    )


def _remote(arguments: argparse.Namespace) -> Desk:
    from imagebuilder.serve.remote import RemoteDesk, Server

    given = [name for name in ("nodes", "state", "store") if getattr(arguments, name, None)]
    if given:
        raise UserError(f"`--{given[0]}` is for what lies here: `--server` has its own", hint="leave one of them out")
    return RemoteDesk(Server(arguments.server, _token(arguments), _who(), arguments.ca_file))


def _who() -> str:
    """The user and his machine, as the journal has them."""
    try:
        user = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def _token(arguments: argparse.Namespace) -> str:
    if not arguments.token_file and (token := os.environ.get(_TOKEN)):
        return token
    path = arguments.token_file or token_file(arguments)
    try:
        return str(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the operator's token cannot be read: {error}",
            hint=f"`--token-file FILE`, or the variable {_TOKEN}; `imagebuilder serve` says at its start where it is",
        ) from None
