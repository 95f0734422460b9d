"""`--cache` and `--store`: where builds keep things, for every verb that reads or writes there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagebuilder.engine.cache import Cache
    from imagebuilder.serve.state.database import Database


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare both."""
    add_cache_argument(parser)
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="where artifacts are kept, an OCI image layout (default: CACHE/store)",
    )


def add_cache_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--cache` alone."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where packages and the outputs of steps are kept (default: /var/cache/on-imagebuilder; "
        "if you are not root, ~/.cache/on-imagebuilder)",
    )


def add_state_argument(parser: argparse.ArgumentParser) -> None:
    """Declare `--state`, what the boot server remembers of nodes."""
    parser.add_argument(
        "--state",
        metavar="WHERE",
        help="where nodes and boots are remembered: a file (default: CACHE/serve/state.sqlite) or postgresql://...",
    )


def state_of(arguments: argparse.Namespace) -> str:
    """The file or the URL that it names."""
    return arguments.state or str(cache_folder(arguments) / "serve/state.sqlite")


def database_of(arguments: argparse.Namespace) -> Database | None:
    """What the server remembers; None when there has been none. To be closed."""
    from imagebuilder.serve.state.database import Database

    where = state_of(arguments)
    return Database(where) if "://" in where or Path(where).exists() else None


def token_file(arguments: argparse.Namespace) -> Path:
    """Where the operator's token is, unless it was said: beside the state."""
    where = state_of(arguments)
    folder = cache_folder(arguments) / "serve" if "://" in where else Path(where).resolve().parent
    return folder / "operator-token"


def cache_at(arguments: argparse.Namespace) -> Cache:
    """The cache that they name."""
    from imagebuilder.engine.cache import Cache

    return Cache(cache_folder(arguments), arguments.store.resolve() if arguments.store else None)


def cache_folder(arguments: argparse.Namespace) -> Path:
    """The folder that `--cache` names."""
    from imagebuilder.engine.cache import default_folder

    folder: Path = arguments.cache or default_folder()
    return folder.resolve()
