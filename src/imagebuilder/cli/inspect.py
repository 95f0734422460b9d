"""`imagebuilder inspect`: what an artifact holds, how heavy it is, and what it does to the layers below."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from imagebuilder.cli.sbom import add_store_options, layout_of
from imagebuilder.cli.table import print_table
from imagebuilder.console import size_text

if TYPE_CHECKING:
    from imagebuilder.engine.inspection import Inspection

_ROWS = 10
_EPILOG = """\
examples:
  imagebuilder inspect discovery                          the top layer of an image in the store
  imagebuilder inspect builds/discovery.overlay.cpio.gz   a file, wherever it was built
  imagebuilder inspect x.overlay.cpio.gz --base builds/base.bookworm.6.1.0-9-amd64.squashfs.img
  imagebuilder inspect discovery --json | jq -r '.entries[].path'

Any cpio archive (plain, gzip, zstd) and any squashfs is read. What an overlay does to the layers below is
known of images in the store; for other files say on what they were made.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "inspect",
        help="show what is in an artifact, and what it changes below",
        description="Show the entries, packages and sizes of an artifact, and what it replaces of the layers below.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("artifact", metavar="ARTIFACT", help="a file, a name in the store, or `sha256:HEX` of an image")
    parser.add_argument("--base", metavar="B", help="what it was made on: a file or a name in the store")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with every entry")
    add_store_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the artifact and print."""
    from imagebuilder.engine.inspection import inspect

    inspection = inspect(layout_of(arguments), arguments.artifact, arguments.base)
    if arguments.json:
        print(json.dumps(_as_json(inspection)))
        return 0
    part, weights = inspection.part, inspection.weights
    print(f"{part.title}  sha256:{part.sha256}")
    print(f"{size_text(inspection.size)}, unpacked {size_text(weights.total)}")
    print(", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in inspection.kinds.items()))
    for line in _below(inspection):
        print(line)
    for title, sizes in (("PACKAGE", weights.packages), ("FOLDER", weights.folders)):
        if sizes:
            print()
            print_table([(title, "SIZE"), *_heaviest(sizes)])
    return 0


def _below(inspection: Inspection) -> Iterator[str]:
    """What an overlay does to the layers below, in lines."""
    footing, shadowed = inspection.footing, inspection.shadowed
    if not footing or not shadowed:
        if "whiteout" in inspection.kinds:
            yield "it was made on layers that are not known: `--base B` names them"
        return
    yield "made on " + ", ".join(f"sha256:{sha256}" for sha256 in footing.on)
    yield f"replaces {len(shadowed.replaced)} paths of these and deletes {len(shadowed.deleted)}"
    yield from (f"  ~ {path}" for path in shadowed.replaced)
    yield from (f"  - {path}" for path in shadowed.deleted)
    if footing.packages:
        yield "packages:"
    for change in footing.packages:
        sign = "~" if change.old and change.new else "+" if change.new else "-"
        yield f"  {sign} {change.name} {' -> '.join(filter(None, (change.old, change.new)))}"


def _heaviest(sizes: Mapping[str, int]) -> list[tuple[str, str]]:
    rows = [(name, size_text(size)) for name, size in list(sizes.items())[:_ROWS]]
    rest = list(sizes.values())[_ROWS:]
    return [*rows, (f"({len(rest)} more)", size_text(sum(rest)))] if rest else rows


def _as_json(inspection: Inspection) -> dict[str, Any]:
    part, footing = inspection.part, inspection.footing
    return {
        "title": part.title,
        "digest": f"sha256:{part.sha256}",
        "mediaType": part.kind,
        "size": inspection.size,
        "unpacked": inspection.weights.total,
        "kinds": inspection.kinds,
        "entries": [dataclasses.asdict(line) for line in inspection.lines],
        "sizes": {"packages": inspection.weights.packages, "folders": inspection.weights.folders},
        "made_on": [f"sha256:{sha256}" for sha256 in footing.on] if footing else None,
        "packages": [dataclasses.asdict(change) for change in footing.packages] if footing else None,
        "shadows": dataclasses.asdict(inspection.shadowed) if inspection.shadowed else None,
    }
