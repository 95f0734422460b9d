"""`imagebuilder merge`: one overlay out of several."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

_FORMATS = ("cpio.gz", "cpio.zst", "squashfs")
_EPILOG = """\
examples:
  imagebuilder merge builds/discovery.overlay.cpio.gz builds/burnin.overlay.cpio.gz -o both.overlay.cpio.gz
  imagebuilder merge a.overlay.squashfs b.overlay.cpio.gz -o ab.overlay.squashfs --json

A node that boots the one has what a node has that stacks the others, the left one at the bottom: what one
removes is gone, accounts and packages are those of all. The same overlays make the same bytes.

exit status: 0 done, 1 the overlays cannot be stacked (each conflict is named), 2 the input is wrong
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "merge",
        help="make one overlay out of several",
        description="Write an overlay that says what several say, stacked from left to right.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overlays", nargs="+", type=Path, metavar="OVERLAY", help="a file, bottom first")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help=f"ends in {', '.join(_FORMATS)}"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Merge, then say what was written."""
    from imagebuilder import digest
    from imagebuilder.engine.merge import merge_files
    from imagebuilder.errors import UserError
    from imagebuilder.events import Event, Note

    def report(event: Event) -> None:
        if isinstance(event, Note):
            print(f"note: {event.message}", file=sys.stderr)

    output: Path = arguments.output
    form = next((form for form in _FORMATS if output.name.endswith(f".{form}")), None)
    if form is None:
        raise UserError(
            f"`{output.name}` does not say in which format to write",
            hint=f"let it end in {', '.join(f'`.{form}`' for form in _FORMATS)}",
        )
    merge_files(arguments.overlays, form, output, report)
    found = {"artifact": str(output), "bytes": output.stat().st_size, "sha256": digest.of_file(output)}
    if arguments.json:
        print(json.dumps({**found, "overlays": [str(path) for path in arguments.overlays]}))
    else:
        print("{artifact}  {bytes} bytes  sha256 {sha256}".format(**found))
    return 0
