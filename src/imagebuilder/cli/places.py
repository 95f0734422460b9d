"""`--cache` and `--store`: where builds keep things, for every verb that reads or writes there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagebuilder.engine.cache import Cache


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare both."""
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where packages and the outputs of steps are kept (default: /var/cache/on-imagebuilder; "
        "if you are not root, ~/.cache/on-imagebuilder)",
    )
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="where artifacts are kept, an OCI image layout (default: CACHE/store)",
    )


def cache_at(arguments: argparse.Namespace) -> Cache:
    """The cache that they name."""
    from imagebuilder.engine.cache import Cache, default_folder

    store = arguments.store.resolve() if arguments.store else None
    return Cache((arguments.cache or default_folder()).resolve(), store)
