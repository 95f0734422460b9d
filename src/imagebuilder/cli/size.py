"""`imagebuilder size`: where the bytes of images are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagebuilder.cli.sbom import add_store_options, layout_of
from imagebuilder.cli.table import print_table
from imagebuilder.console import size_text

if TYPE_CHECKING:
    from imagebuilder.engine.sizes import LayerSize

_ROWS = 15
_EPILOG = """\
examples:
  imagebuilder size discovery                        its layers, and the heaviest packages
  imagebuilder size discovery rescue --html size.html    a map of both; layers that they share count once
  imagebuilder size builds                           an artifact folder
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "size",
        help="show where the bytes of images are",
        description="Show where the bytes of images are: by layer, package and folder.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="a name in the store, an artifact folder, or a file")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--html", type=Path, metavar="FILE", help="write a page with maps")
    add_store_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Weigh and print."""
    from imagebuilder.engine.sizes import layer_sizes

    layers = layer_sizes(layout_of(arguments), arguments.images)
    if arguments.json:
        print(json.dumps({"layers": [_as_json(layer) for layer in layers]}))
    elif arguments.html:
        from imagebuilder.pages.size import size_page

        title = f"Size of {', '.join(name.rstrip('/') for name in arguments.images)}"
        arguments.html.write_text(size_page(layers, title), encoding="utf-8", errors="backslashreplace")
        print(f"{len(layers)} layers, {size_text(sum(layer.packed for layer in layers))} to fetch", file=sys.stderr)
    else:
        _print(layers)
    return 0


def _print(layers: tuple[LayerSize, ...]) -> None:
    rows = [(layer.part.title, size_text(layer.packed), size_text(layer.unpacked)) for layer in layers]
    print_table([("LAYER", "TO FETCH", "UNPACKED"), *rows])
    packages = [
        (size, name, layer.part.title)
        for layer in layers
        if layer.weights
        for name, size in layer.weights.packages.items()
    ]
    if packages:
        print()
        heaviest = sorted(packages, key=lambda item: -item[0])[:_ROWS]
        print_table(
            [("PACKAGE", "UNPACKED", "LAYER"), *((name, size_text(size), layer) for size, name, layer in heaviest)]
        )


def _as_json(layer: LayerSize) -> dict[str, Any]:
    weights = layer.weights
    return {
        "title": layer.part.title,
        "digest": f"sha256:{layer.part.sha256}",
        "packed": layer.packed,
        "unpacked": layer.unpacked,
        "packages": weights.packages if weights else None,
        "folders": weights.folders if weights else None,
    }
