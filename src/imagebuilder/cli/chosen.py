"""`--builds`, `--base`, `--overlay` and `--kernel`: which artifacts, for verbs about what boots together."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagebuilder.boot.artifacts import Artifacts


def add_artifact_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    parser.add_argument(
        "--builds", type=Path, default=Path("builds"), metavar="DIR", help="artifacts (default: builds)"
    )
    parser.add_argument("--overlay", action="append", default=[], metavar="NAME", help="may come again: left to right")
    parser.add_argument("--base", metavar="NAME", help="the base, if there are several")
    parser.add_argument("--kernel", metavar="RELEASE", help="the kernel, if there are several")


def chosen_artifacts(arguments: argparse.Namespace) -> Artifacts:
    """What they name. Raises UserError that says what is there instead."""
    from imagebuilder.boot.artifacts import Selection, select

    selection = Selection(arguments.base, tuple(arguments.overlay), arguments.kernel)
    return select(arguments.builds.absolute(), selection)
