"""`imagebuilder check`: whether overlays go with a base that they were not made on."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import TYPE_CHECKING

from imagebuilder.cli.sbom import add_store_options, layout_of
from imagebuilder.cli.table import print_table

if TYPE_CHECKING:
    from imagebuilder.steps.fit import Fit

_EPILOG = """\
examples:
  imagebuilder check discovery --base basefs              images of the store
  imagebuilder check *.overlay.cpio.gz --base base.trixie.6.12.0-1-amd64.squashfs.img
  imagebuilder check x.overlay.cpio.gz --base new.squashfs.img --made-on old.squashfs.img
  imagebuilder check burnin --base discovery              on a base, and on an overlay that was made apart

An overlay fits when nothing that it replaces or deletes has changed below, and its packages and accounts go
with those below. exit status: 0 all fit, 1 one does not, 2 something is no layer or of an unknown base
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "check",
        help="say whether overlays fit a base",
        description="Say whether overlays fit a base that they were not made on, and what stands against it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overlays", nargs="+", metavar="OVERLAY", help="a file, or an image in the store")
    parser.add_argument(
        "--base", nargs="+", required=True, metavar="B", help="what it is to lie on, bottom first: files, or images"
    )
    parser.add_argument("--made-on", metavar="C", help="what overlays were made on that the store does not know")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_store_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check and print."""
    from imagebuilder.engine.checking import check_overlays

    found = list(check_overlays(layout_of(arguments), arguments.overlays, arguments.base, arguments.made_on))
    fits = all(fit.fits for _, fit in found)
    if arguments.json:
        overlays = [
            {
                "overlay": part.title,
                "digest": f"sha256:{part.sha256}",
                "verdict": fit.verdict,
                **dataclasses.asdict(fit),
            }
            for part, fit in found
        ]
        print(json.dumps({"fits": fits, "overlays": overlays}))
        return 0 if fits else 1
    print_table([("OVERLAY", "VERDICT"), *((part.title, fit.verdict) for part, fit in found)])
    rows = [row for part, fit in found for row in _rows(part.title, fit)]
    if rows:
        print()
        print_table([("OVERLAY", "WHAT", "WHICH", "WHY"), *rows])
    return 0 if fits else 1


def _rows(title: str, fit: Fit) -> list[tuple[str, str, str, str]]:
    kinds = (
        ("package", fit.conflicts),
        ("account", fit.accounts),
        ("path", fit.shadows),
        ("database", fit.databases),
    )
    return [(title, what, finding.name, finding.text) for what, found in kinds for finding in found]
