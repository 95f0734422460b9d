"""What a build would do: its plan, compared with what the cache holds. Nothing is built, and root is not needed."""

from __future__ import annotations

import os
from pathlib import Path

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.outlook import history_of
from imagebuilder.engine.resolve import resolve
from imagebuilder.events import Progress, Report
from imagebuilder.plan.compile import compile_plan
from imagebuilder.plan.explain import PlanOutlook, explain
from imagebuilder.resolve.apt import Apt, host_date_options, host_targets
from imagebuilder.resolve.resolution import Resolution
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.tree import TreeSpec


def preview(tree: TreeSpec, resolution: Resolution, cache: Cache, jobs: int) -> PlanOutlook:
    """What a build of these packages does, with `jobs` steps side by side, and why."""
    plan = compile_plan(tree, resolution)
    return explain(plan, history_of(plan, tree.root, cache), jobs)


def packages_now(tree: TreeSpec, cache: Path, epoch: int | None, report: Report) -> Resolution:
    """The packages that the mirror has now; its indexes are kept in the user's own cache if not in `cache`."""
    folder = cache if os.access(cache, os.W_OK) else _own_cache()
    apt = Apt(sources_for(tree.settings, host_targets(), host_date_options()), tree.settings.debootstrap_arch, folder)
    report(Progress("packages", f"resolving with the indexes of {apt.sources.mirror}"))
    with apt.indexes():
        return resolve(tree, apt, epoch)


def _own_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "on-imagebuilder"
