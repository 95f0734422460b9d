"""`imagebuilder push`: from the store to an OCI registry."""

from __future__ import annotations

import argparse
import json
import sys

from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.cli.site import add_site_arguments, repository_at
from imagebuilder.console import progress, size_text

_EPILOG = """\
examples:
  imagebuilder push discovery registry.example.net/images/discovery
  imagebuilder push discovery:stable registry.example.net/images/discovery:stable
  imagebuilder push discovery 10.0.0.5:5000/images/discovery --plain-http

Only what the registry lacks travels. A push that was stopped goes on where it was, if the registry lets it.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "push",
        help="send an image to a registry",
        description="Send kernel, initrd, base and overlays that boot together to an OCI registry.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="IMAGE[:TAG], as `imagebuilder store ls` shows it")
    parser.add_argument("reference", metavar="REF", help="HOST[:PORT]/REPOSITORY[:TAG] (default tag: that of NAME)")
    parser.add_argument(
        "--mount-from", default="", metavar="REPOSITORY", help="take what another repository of the registry has"
    )
    parser.add_argument("--json", action="store_true", help="events and result as JSON lines on standard output")
    add_site_arguments(parser)
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Push."""
    from imagebuilder.errors import UserError
    from imagebuilder.store.index import full_name, read_index
    from imagebuilder.store.listing import manifest_of
    from imagebuilder.store.registry.push import Push, push
    from imagebuilder.store.registry.reference import Reference

    layout, name = cache_at(arguments).layout, full_name(arguments.name)
    reference = Reference.parse(arguments.reference)
    if reference.digest:
        raise UserError(f"`{reference}` has a digest: what is pushed has its own", hint="write a tag, or nothing")
    repository = repository_at(reference, arguments)
    tag = reference.tag or name.partition(":")[2]
    manifest = manifest_of(read_index(layout), name, layout)
    with layout.used(), progress(as_json=arguments.json, verbose=False) as report:
        sent = push(Push(layout, repository, report, arguments.mount_from), manifest, tag)
    where = f"{repository}:{tag}"
    if arguments.json:
        print(json.dumps({"reference": where, "digest": manifest.digest, "sent": sent}))
    else:
        print(f"{where}@{manifest.digest}")
        print(f"{size_text(sent)} sent", file=sys.stderr)
    return 0
