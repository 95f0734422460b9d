"""`imagebuilder sbom`: the bill of materials of a manifest or of one of its layers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imagebuilder.store.layout import Layout

_EPILOG = """\
examples:
  imagebuilder sbom discovery                              all that boots together, as SPDX 2.3
  imagebuilder sbom discovery:stable --format cyclonedx    as CycloneDX 1.5
  imagebuilder sbom discovery --layer base                 one layer; kernel, initrd, overlay, or its file name

`build` attaches these documents to every manifest; docs/reference/sbom.md says what is in them.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "sbom",
        help="print the packages of an image as SPDX or CycloneDX",
        description="Print the bill of materials of a manifest in the store, or of one of its layers.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="a name in the store (`discovery:stable`) or `sha256:HEX`")
    parser.add_argument("--format", choices=("spdx", "cyclonedx"), default="spdx", help="default: %(default)s")
    parser.add_argument("--layer", metavar="LAYER", help="only this layer: its kind, its image or its file name")
    add_store_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the document that is attached, laid out for people."""
    from imagebuilder.engine.sbom import FORMATS, find_document

    layout = layout_of(arguments)
    document = find_document(layout, arguments.name, FORMATS[arguments.format], arguments.layer)
    text = json.dumps(json.loads(document), indent=1, ensure_ascii=False)
    sys.stdout.buffer.write(f"{text}\n".encode())
    return 0


def add_store_options(parser: argparse.ArgumentParser) -> None:
    """Declare where the store is."""
    parser.add_argument("--cache", type=Path, metavar="DIR", help="the cache of `build` (default: the same as there)")
    parser.add_argument("--store", type=Path, metavar="DIR", help="the store (default: CACHE/store)")


def layout_of(arguments: argparse.Namespace) -> Layout:
    """The store that the options name."""
    from imagebuilder.engine.cache import default_folder
    from imagebuilder.store.layout import Layout

    return Layout((arguments.store or (arguments.cache or default_folder()) / "store").resolve())
