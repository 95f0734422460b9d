"""`imagebuilder store ...`: what the store has, under which names, whether it is whole, what can go."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.cli.site import add_site_arguments
from imagebuilder.cli.table import print_table
from imagebuilder.console import progress, size_text

if TYPE_CHECKING:
    from imagebuilder.events import Report
    from imagebuilder.store.layout import Blob, Layout
    from imagebuilder.store.verify import Fetch

_EPILOG = """\
A name is IMAGE:TAG, and IMAGE alone is IMAGE:latest. A build moves `latest`; other tags (channels) move when
you say so:

  imagebuilder store ls                          names, sizes, and what only that name needs
  imagebuilder store tag discovery stable        discovery:stable is what discovery:latest is now
  imagebuilder store rollback discovery:stable   ... and what it was before
  imagebuilder store gc --keep 2 --dry-run       what would go, with two earlier builds of each name kept
"""
_CHARACTERS = 12


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb and what can be done."""
    parser = verbs.add_parser(
        "store",
        help="list, name, check and clean what was built",
        description="Look after the store of what was built: an OCI image layout.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add(actions, "ls", "list the names and what they stand for", _ls)
    show = _add(actions, "show", "the parts of one image, its past, and what is attached to it", _show)
    show.add_argument("name", metavar="NAME", help="IMAGE[:TAG]")
    tag = _add(actions, "tag", "have a tag stand for what a name stands for", _tag)
    tag.add_argument("name", metavar="NAME", help="IMAGE[:TAG]")
    tag.add_argument("tag", metavar="TAG", help="another tag of the same image: stable, canary")
    tag.add_argument("--delete", action="store_true", help="take the tag away, with its past")
    rollback = _add(actions, "rollback", "have a name stand for what it stood for before", _rollback)
    rollback.add_argument("name", metavar="NAME", help="IMAGE[:TAG]")
    verify = _add(actions, "verify", "hash everything, follow all names, set aside what is damaged", _verify)
    verify.add_argument("--repair", metavar="REF", help="fetch what is damaged or missing from HOST[:PORT]/REPOSITORY")
    add_site_arguments(verify)
    gc = _add(actions, "gc", "remove what no name needs, while nobody builds", _gc)
    gc.add_argument("--keep", type=_count, default=5, metavar="N", help="earlier builds of each name (default: 5)")
    gc.add_argument("--packages", action="store_true", help="remove packages, too, that nothing here was made from")
    gc.add_argument("--dry-run", action="store_true", help="only say what would go")


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = actions.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_place_arguments(parser)
    parser.set_defaults(run=run)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is no number of builds")
    return int(text)


def _ls(arguments: argparse.Namespace) -> int:
    from imagebuilder.store.listing import list_entries
    from imagebuilder.store.values import entry_value

    layout = cache_at(arguments).layout
    entries = list_entries(layout)
    if arguments.json:
        print(json.dumps({"store": str(layout.root), "names": [entry_value(entry) for entry in entries]}))
        return 0
    titles = ("NAME", "DIGEST", "LAYERS", "SIZE", "OWN")
    rows = [(e.name, _short(e.manifest), str(len(e.parts)), size_text(e.size), size_text(e.own)) for e in entries]
    print_table([titles, *rows])
    count, size = layout.total()
    print(f"{layout.root}: {count} blobs, {size_text(size)}", file=sys.stderr)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    from imagebuilder.store.index import full_name
    from imagebuilder.store.listing import describe
    from imagebuilder.store.values import details_value

    details = describe(cache_at(arguments).layout, full_name(arguments.name))
    if arguments.json:
        print(json.dumps(details_value(details)))
        return 0
    entry = details.entry
    print(f"{entry.name}  {entry.manifest.digest}  of {entry.created}\n")
    titles = ("KIND", "SIZE", "DIGEST", "FILE", "ALSO IN")
    rows = [
        (layer.kind, size_text(layer.blob.size), _short(layer.blob), layer.title, ", ".join(part.shared_with))
        for part in entry.parts
        for layer in [part.layer]
    ]
    rows += [
        (file.media_type, size_text(file.blob.size), _short(file.blob), file.title, "attached")
        for referrer in details.attached
        for file in referrer.files
    ]
    print_table([titles, *rows])
    if details.past:
        print(f"\nbefore: {', '.join(_short(blob) for blob in details.past)}")
    return 0


def _tag(arguments: argparse.Namespace) -> int:
    from imagebuilder.store.channels import delete_tag, move_tag
    from imagebuilder.store.index import full_name

    layout, source = cache_at(arguments).layout, full_name(arguments.name)
    name = full_name(f"{source.partition(':')[0]}:{arguments.tag}")
    if arguments.delete:
        delete_tag(layout, name)
        return _tell(arguments, name, None)
    return _tell(arguments, name, move_tag(layout, source, name))


def _rollback(arguments: argparse.Namespace) -> int:
    from imagebuilder.store.channels import roll_back
    from imagebuilder.store.index import full_name

    name = full_name(arguments.name)
    return _tell(arguments, name, roll_back(cache_at(arguments).layout, name))


def _tell(arguments: argparse.Namespace, name: str, manifest: Blob | None) -> int:
    """What a name stands for from now on."""
    if arguments.json:
        print(json.dumps({"name": name, "digest": manifest.digest if manifest else None}))
    else:
        print(f"{name} {manifest.digest}" if manifest else f"{name} is gone")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from imagebuilder.store.verify import verify

    layout = cache_at(arguments).layout
    with layout.used(), progress(as_json=False, verbose=False) as report:
        faults = verify(layout, report, _fetcher(arguments, layout, report) if arguments.repair else None)
    healthy = all(fault.mended for fault in faults)
    if arguments.json:
        print(json.dumps({"ok": healthy, "faults": [dataclasses.asdict(fault) for fault in faults]}))
    elif faults:
        rows = [(fault.what, fault.name, fault.done, ", ".join(fault.needed_by)) for fault in faults]
        print_table([("WHAT", "WHICH", "NOW", "NEEDED BY"), *rows])
    else:
        count, size = layout.total()
        print(f"{layout.root}: all is well, {count} blobs, {size_text(size)}")
    return 0 if healthy else 1


def _fetcher(arguments: argparse.Namespace, layout: Layout, report: Report) -> Fetch:
    from imagebuilder.cli.site import repository_at
    from imagebuilder.store.registry.pull import Pull, fetch
    from imagebuilder.store.registry.reference import Reference

    job = Pull(layout, repository_at(Reference.parse(arguments.repair), arguments), report)
    return lambda blob, is_manifest: fetch(job, blob, is_manifest=is_manifest)


def _gc(arguments: argparse.Namespace) -> int:
    from imagebuilder.engine.collect import Extent, collect
    from imagebuilder.host.namespace import become_root

    become_root("store gc")  # folders of an image have many owners
    extent = Extent(arguments.keep, arguments.packages)
    removals = collect(cache_at(arguments), extent, dry_run=arguments.dry_run)
    size = sum(removal.size for removal in removals)
    if arguments.json:
        found = [{"kind": r.kind, "path": str(r.path), "size": r.size} for r in removals]
        print(json.dumps({"dry_run": arguments.dry_run, "size": size, "removed": found}))
        return 0
    counts = Counter(removal.kind for removal in removals)
    sizes = {kind: sum(r.size for r in removals if r.kind == kind) for kind in counts}
    if counts:
        print_table(
            [("KIND", "COUNT", "SIZE"), *((kind, str(n), size_text(sizes[kind])) for kind, n in counts.items())]
        )
    print(f"{'would free' if arguments.dry_run else 'freed'} {size_text(size)}", file=sys.stderr)
    return 0


def _short(blob: Blob) -> str:
    return blob.sha256[:_CHARACTERS]
