"""What a build would do: its plan, compared with what the cache holds. Nothing is built, and root is not needed."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from imagebuilder.engine.cache import Cache, user_folder
from imagebuilder.engine.keeping import with_kept_overlays
from imagebuilder.engine.outlook import history_of
from imagebuilder.events import Report
from imagebuilder.plan.compile import compile_plan
from imagebuilder.plan.explain import PlanOutlook, explain
from imagebuilder.resolve.resolution import Resolution
from imagebuilder.spec.tree import TreeSpec


def preview(
    tree: TreeSpec, resolution: Resolution, cache: Cache, jobs: int, *, rebuild_overlays: bool = False
) -> PlanOutlook:
    """What a build of these packages does, with `jobs` steps side by side, and why."""
    exact = compile_plan(tree, resolution)
    plan = exact if rebuild_overlays else with_kept_overlays(exact, tree.root, cache)
    return explain(plan, history_of(plan, tree.root, cache), jobs)


def packages_now(tree: TreeSpec, cache: Path, epoch: int | None, report: Report) -> Resolution:
    """The packages that the mirror has now; its indexes are kept in the user's own cache if not in `cache`."""
    from imagebuilder.engine.packages import Packages
    from imagebuilder.engine.resolve import Kept

    folder = cache if not cache.exists() or os.access(cache, os.W_OK) else user_folder()
    with ExitStack() as stack:
        return Packages(tree.settings, folder, report, stack).resolve(tree, Kept(epoch=epoch))
