"""The end of a build, and the whole of one that has nothing to do: what is kept is shown.

Apart from `build`, because a build with nothing to do takes as long as importing what it needs.
"""

from __future__ import annotations

from dataclasses import dataclass

from imagebuilder.engine.artifacts import show_artifacts
from imagebuilder.engine.cache import Cache
from imagebuilder.engine.keeping import attach_footings, report_kept, with_kept_overlays
from imagebuilder.engine.manifests import put_manifests
from imagebuilder.engine.outlook import Forecast, history_of
from imagebuilder.engine.sbom import attach_sboms
from imagebuilder.engine.sign import Signer, check_clock, show_signed
from imagebuilder.events import Report
from imagebuilder.plan.compile import compile_plan
from imagebuilder.plan.lock import resolution_of
from imagebuilder.plan.model import Plan
from imagebuilder.resolve.lock import Lock
from imagebuilder.spec.tree import TreeSpec
from imagebuilder.steps.contents import read_notes


@dataclass(frozen=True, slots=True)
class Options:
    """How to build, as opposed to what: what is kept, steps side by side, SOURCE_DATE_EPOCH and a signer if given.

    With `repin` the newest versions take the place of those that the tree names;
    `keep_failed` keeps what a failing step leaves; `shows` is whether the artifact
    folder is brought up to date. With `rebuild_overlays` no overlay stays that was
    made on another base.
    """

    cache: Cache
    jobs: int
    epoch: int | None
    repin: bool = False
    keep_failed: bool = False
    shows: bool = True
    signer: Signer | None = None
    rebuild_overlays: bool = False


def locked_plan(tree: TreeSpec, lock: Lock, options: Options) -> Plan:
    """The exact plan of a tree; `lock` answers for it (`plan.lock.refuse_stale`)."""
    return compile_plan(tree, resolution_of(lock, tree, options.epoch))


def build_what_is_done(exact: Plan, tree: TreeSpec, options: Options, report: Report) -> bool:
    """Publish the artifacts of a plan whose steps are all done; False, and nothing is changed, when one must run.

    Needs neither root nor a namespace.
    """
    plan = planned(exact, tree, options)
    forecast = Forecast(plan, history_of(plan, tree.root, options.cache), options.jobs, report)
    if forecast.todo:
        return False
    check_clock(options.signer, plan)
    with options.cache.used():
        forecast.begin()
        publish(plan, tree, options, report)
    return True


def planned(exact: Plan, tree: TreeSpec, options: Options, report: Report | None = None) -> Plan:
    """The plan that is carried out for an exact one: overlays that still fit are kept, unless they shall not be."""
    return exact if options.rebuild_overlays else with_kept_overlays(exact, tree.root, options.cache, report)


def publish(plan: Plan, tree: TreeSpec, options: Options, report: Report) -> None:
    """Show what a plan whose steps are all done yields: in the artifact folder, and as manifests in the store."""
    cache, folder = options.cache, tree.settings.artifact_folder
    blobs = {artifact: cache.blob(plan.step(artifact.step)) for artifact in plan.artifacts}
    notes = {
        artifact: read_notes(cache.layout.read(cache.blob(plan.step(artifact.notes)).sha256))
        for artifact in plan.artifacts
        if artifact.notes
    }
    manifests = put_manifests(plan, blobs, notes, cache.layout)
    lists = {artifact.name: cache.blob(plan.step(artifact.packages)) for artifact in plan.artifacts}
    attach_sboms(cache.layout, manifests.values(), lists)
    footings = {
        artifact.name: cache.blob(plan.step(artifact.footing)) for artifact in plan.artifacts if artifact.footing
    }
    attach_footings(cache.layout, manifests, footings)
    report_kept(plan, cache, report)
    if options.shows:
        show_artifacts(blobs, cache.layout, folder, report)
        show_signed(manifests, cache.layout, folder, options.signer)
    for step in plan.steps:
        cache.note_latest(tree.root, step)
