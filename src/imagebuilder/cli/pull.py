"""`imagebuilder pull`: from an OCI registry to the store."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.cli.site import add_site_arguments, repository_at
from imagebuilder.console import progress

if TYPE_CHECKING:
    from imagebuilder.events import Report
    from imagebuilder.store.layout import Layout
    from imagebuilder.store.manifest import Manifest

_EPILOG = """\
examples:
  imagebuilder pull registry.example.net/images/discovery:stable
  imagebuilder pull registry.example.net/images/discovery@sha256:4d7c... discovery:canary
  imagebuilder pull 10.0.0.5:5000/images/discovery --plain-http --builds builds

Only what the store lacks travels, each part is checked, and a pull that was stopped goes on where it was.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "pull",
        help="fetch an image from a registry",
        description="Fetch kernel, initrd, base and overlays that boot together from an OCI registry into the store.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reference", metavar="REF", help="HOST[:PORT]/REPOSITORY[:TAG][@sha256:HEX] (default: latest)")
    parser.add_argument("name", metavar="NAME", nargs="?", help="IMAGE[:TAG] in the store (default: as in REF)")
    parser.add_argument("--builds", type=Path, metavar="DIR", help="show the artifacts in this folder, too")
    parser.add_argument("--json", action="store_true", help="events and result as JSON lines on standard output")
    add_site_arguments(parser)
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Pull, then give it its name."""
    from imagebuilder.store.index import LATEST, change_index, full_name
    from imagebuilder.store.registry.pull import Pull, pull
    from imagebuilder.store.registry.reference import Reference

    layout, reference = cache_at(arguments).layout, Reference.parse(arguments.reference)
    name = full_name(arguments.name or f"{reference.image}:{reference.tag or LATEST}")
    repository = repository_at(reference, arguments)
    with layout.used(), progress(as_json=arguments.json, verbose=False) as report:
        layout.prepare()
        blob, manifest = pull(Pull(layout, repository, report), reference.digest or reference.tag or LATEST)
        change_index(layout, lambda index: index.moved(name, blob))
        if arguments.builds:
            _show(name, manifest, layout, arguments.builds, report)
    if arguments.json:
        print(json.dumps({"name": name, "digest": blob.digest}))
    else:
        print(f"{name} {blob.digest}")
    return 0


def _show(name: str, manifest: Manifest, layout: Layout, folder: Path, report: Report) -> None:
    from imagebuilder.engine.artifacts import show_artifacts
    from imagebuilder.plan.model import Artifact

    image = name.partition(":")[0]
    artifacts = {Artifact(layer.title, image, "", layer.media_type, ""): layer.blob for layer in manifest.layers}
    show_artifacts(artifacts, layout, folder.absolute(), report)
