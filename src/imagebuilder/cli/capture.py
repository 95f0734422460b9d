"""`imagebuilder capture`: an overlay out of the upperdir of a system that runs an image."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from imagebuilder.cli.handmade import add_target_arguments, saved_to, target_of
from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.cli.render import rendered

_EPILOG = """\
examples:
  rsync -aAXH --numeric-ids root@machine:/path/to/upper/ upper/
  imagebuilder capture mine --upper upper --on discovery

The upperdir is that of any overlay mount over the image, copied with its owners and attributes.

Paths that a running system writes for itself (logs, caches, /run, /tmp, its host name and machine id) are left
out; device nodes are refused. What a config file can say of it is written to vars/NAME.yml, with its files.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "capture",
        help="make an overlay of what was changed on a running system",
        description="Make an overlay, and a config file, of the upperdir of a system that runs an image.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="what the overlay is to be called")
    parser.add_argument(
        "--upper", type=Path, required=True, metavar="DIR", help="the upperdir, with owners and attributes"
    )
    parser.add_argument(
        "--on", required=True, metavar="IMAGE", help="the image in the store that it lay on, or the file of a base"
    )
    add_target_arguments(parser)
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Capture in a private namespace."""
    from imagebuilder.engine.handmade import capture_from
    from imagebuilder.host.namespace import become_root, run_private

    become_root("capture")
    target = target_of(arguments.name, arguments)

    def work() -> int:
        then = saved_to(target, lambda line: print(line, file=sys.stderr))
        capture_from(cache_at(arguments), arguments.upper.resolve(), arguments.on, then)
        return 0

    return run_private(lambda: rendered(work))
