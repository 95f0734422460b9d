"""`imagebuilder plan`: which steps a build would run, and why."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.build import add_images_arguments, lock_of, source_date_epoch, tree_of
from imagebuilder.cli.places import cache_at
from imagebuilder.console import progress, rest_text, size_text

if TYPE_CHECKING:
    from imagebuilder.engine.cache import Cache
    from imagebuilder.plan.explain import PlanOutlook, StepOutlook
    from imagebuilder.resolve.resolution import Resolution
    from imagebuilder.spec.tree import TreeSpec

_REASONS = 6
"""How many reasons of a step are shown; `--json` has all."""
_EPILOG = """\
examples:
  imagebuilder plan                                what a build of ./all.yml would do
  imagebuilder plan my/all.yml -e debootstrap_release=trixie
  imagebuilder plan --html plan.html               the same, drawn
  imagebuilder plan --json | jq '.steps[] | select(.state == "runs")'

A step is `kept` (its output is in the cache), `runs`, or is `unneeded`: its output is gone, and all that
was made from it is there. Times and bytes are those of the last step of the same name. Neither root nor
a build is needed.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "plan",
        help="say what a build would do, and why",
        description="Say which steps a build would run, why, and how long they take.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_images_arguments(parser)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="steps side by side, for the time")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object")
    form.add_argument("--dot", action="store_true", help="the graph in the language of graphviz")
    form.add_argument("--html", type=Path, metavar="FILE", help="write a page with the graph")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the tree, plan, compare, print."""
    from imagebuilder.engine.preview import preview

    tree, cache = tree_of(arguments), cache_at(arguments)
    resolution = _resolution(tree, cache)
    outlook = preview(tree, resolution, cache, max(1, arguments.jobs), rebuild_overlays=arguments.rebuild_overlays)
    if arguments.json:
        print(json.dumps(_as_json(outlook), indent=1))
    elif arguments.dot:
        print(_as_dot(outlook), end="")
    elif arguments.html:
        from imagebuilder.pages.plan import plan_page

        arguments.html.write_text(plan_page(outlook, f"Plan of {tree.root.name}", _summary(outlook)), encoding="utf-8")
        print(_summary(outlook), file=sys.stderr)
    else:
        print(_as_text(outlook))
    return 0


def _resolution(tree: TreeSpec, cache: Cache) -> Resolution:
    """The packages of the tree's lock; without one, those that the mirror has now."""
    if lock := lock_of(tree):
        from imagebuilder.plan.lock import resolution_of

        return resolution_of(lock, tree, source_date_epoch())
    from imagebuilder.engine.preview import packages_now

    with progress(as_json=False, verbose=False) as report:
        return packages_now(tree, cache.folder, source_date_epoch(), report)


def _summary(outlook: PlanOutlook) -> str:
    count, total = len(outlook.running), len(outlook.steps)
    if not count:
        return f"nothing to do: all {total} steps are done already"
    rest = rest_text(outlook.seconds, known=outlook.is_known)
    size = f", {size_text(outlook.size)} to write" if outlook.size else ""
    return f"{count} of {total} steps must run" + (f": {rest}{size}" if rest else "")


def _as_text(outlook: PlanOutlook) -> str:
    width = max((len(step.step.name) for step in outlook.steps), default=0)
    lines = [line for step in outlook.steps for line in _lines(step, width)]
    return "\n".join([*lines, "", _summary(outlook)])


def _lines(step: StepOutlook, width: int) -> list[str]:
    seconds = "" if step.seconds is None else f"{step.seconds:.1f} s"
    size = "" if step.size is None else size_text(step.size)
    shown = [f"    {reason}" for reason in step.reasons[:_REASONS]]
    if more := len(step.reasons) - len(shown):
        shown.append(f"    and {more} more")
    return [f"{step.step.name:<{width}}  {step.state:<8} {seconds:>8} {size:>8}".rstrip(), *shown]


def _as_json(outlook: PlanOutlook) -> dict[str, object]:
    steps = [
        {
            "id": step.step.id,
            "name": step.step.name,
            "kind": step.step.step.kind,
            "needs": sorted(step.step.needs),
            "state": step.state,
            "reasons": step.reasons,
            "changes": [dataclasses.asdict(change) for change in step.changes],
            "seconds": step.seconds,
            "size": step.size,
        }
        for step in outlook.steps
    ]
    return {"steps": steps, "seconds": outlook.seconds, "known": outlook.is_known, "size": outlook.size}


def _as_dot(outlook: PlanOutlook) -> str:
    from imagebuilder.pages.layered import reduced

    names = {step.step.id: step.step.name for step in outlook.steps}
    shapes = {
        "kept": "style=filled fillcolor=gray90",
        "runs": "style=filled fillcolor=orange",
        "unneeded": "style=dashed",
    }
    lines = [f"  {json.dumps(step.step.name)} [{shapes[step.state]}];" for step in outlook.steps]
    edges = reduced({step.step.id: [i for i in names if i in step.step.needs] for step in outlook.steps})
    lines += [f"  {json.dumps(names[a])} -> {json.dumps(names[b])};" for b, others in edges.items() for a in others]
    return "digraph plan {\n  rankdir=LR;\n  node [shape=box];\n" + "\n".join(lines) + "\n}\n"
