"""How a registry is reached and as whom: the arguments of every verb that speaks to one."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.errors import UserError

if TYPE_CHECKING:
    from imagebuilder.store.registry.client import Repository
    from imagebuilder.store.registry.reference import Reference


def add_site_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    group = parser.add_argument_group("the registry")
    group.add_argument("--username", metavar="NAME", help="who you are there (default: what `docker login` has kept)")
    group.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    group.add_argument("--ca-file", type=Path, metavar="FILE", help="trust the authorities in this PEM file, no others")
    group.add_argument("--plain-http", action="store_true", help="speak HTTP without TLS")


def repository_at(reference: Reference, arguments: argparse.Namespace) -> Repository:
    """The repository that a reference names, as the arguments reach it."""
    from imagebuilder.store.registry.client import Repository
    from imagebuilder.store.registry.credentials import Credentials, config_file, kept_credentials
    from imagebuilder.store.registry.transport import Site, Transport

    if bool(arguments.username) != arguments.password_stdin:
        raise UserError("`--username` and `--password-stdin` go together", hint="`... --password-stdin <password-file`")
    if arguments.username:
        credentials: Credentials | None = Credentials(arguments.username, sys.stdin.readline().rstrip("\n"))
    else:
        credentials = kept_credentials(config_file(os.environ, Path.home()), reference.host)
    site = Site(reference.host, arguments.plain_http, arguments.ca_file, credentials)
    return Repository(Transport(site), reference.repository)
