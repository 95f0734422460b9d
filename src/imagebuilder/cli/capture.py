"""`imagebuilder capture`: an overlay out of what was changed on a system that runs an image."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from imagebuilder.cli.handmade import add_target_arguments, saved_to, target_of
from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.errors import UserError

_EPILOG = """\
examples:
  imagebuilder capture mine --node ssh://10.0.0.7               root logs in
  imagebuilder capture mine --node ssh://monorail@r1n7:2222     ... or somebody who may `sudo` without a password
  imagebuilder capture mine --node ssh://r1n7 --ssh 'ssh -i keys/lab -o StrictHostKeyChecking=accept-new'

  rsync -aAXH --numeric-ids root@machine:/path/to/upper/ upper/
  imagebuilder capture mine --upper upper --on discovery

A node that an initrd of ours booted shows root what was changed on it, and knows what it booted; that image has to
be in the store. On the node this needs sshd and what every Debian base has. An upperdir is that of any overlay
mount over the image, copied with its owners and attributes.

The new overlay has what was changed since boot, and lies on all layers that were booted, base and overlays. Paths that
a running system writes for itself (logs, caches, /run, /tmp, its host name and machine id) are left out; device nodes
are refused. What a config file can say of it is written to vars/NAME.yml, with its files.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "capture",
        help="make an overlay of what was changed on a running system",
        description="Make an overlay, and a config file, of what was changed on a system that runs an image.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="what the overlay is to be called")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--node", metavar="URL", help="a running node: ssh://[USER@]HOST[:PORT]; USER is root")
    source.add_argument("--upper", type=Path, metavar="DIR", help="an upperdir, with owners and attributes")
    parser.add_argument(
        "--on",
        metavar="IMAGE",
        help="the image in the store that it lay on, or the file of a base (default: what the node booted)",
    )
    parser.add_argument("--ssh", default="ssh", metavar="COMMAND", help="ssh with options of yours (default: ssh)")
    add_target_arguments(parser)
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch or read, show and save."""
    from imagebuilder.engine.handmade import capture_from, capture_node
    from imagebuilder.engine.node_changes import node_at
    from imagebuilder.host.namespace import become_root

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if arguments.node:
        node = node_at(arguments.node, arguments.ssh, os.environ)
        then = saved_to(target_of(arguments.name, arguments), say)
        capture_node(cache_at(arguments), node, arguments.on, then, say)
        return 0
    if not arguments.on:
        raise UserError("nobody knows what the upperdir lay on", hint="`--on IMAGE` says it")
    become_root("capture")
    then = saved_to(target_of(arguments.name, arguments), say)
    capture_from(cache_at(arguments), arguments.upper.resolve(), arguments.on, then)
    return 0
