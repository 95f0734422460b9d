"""The packages of one run: a mirror's indexes are opened when something is asked of them, and once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.errors import PackageError
from imagebuilder.events import Progress, Report, StepFinished, StepStarted
from imagebuilder.host import clock
from imagebuilder.host.files import size_of
from imagebuilder.resolve.apt import Apt, host_date_options, host_targets
from imagebuilder.resolve.archives import missing
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.lock import FILE
from imagebuilder.resolve.resolution import Resolution
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.settings import Settings
from imagebuilder.spec.tree import TreeSpec

if TYPE_CHECKING:
    from imagebuilder.engine.resolve import Kept

_INDEXES = "packages: indexes"
_RESOLVE = "packages: resolve"
_FETCH = "packages: fetch"


class Packages:
    """What packages a tree of these `settings` has, and their files in `cache`.

    Indexes that were opened stay as they are until `stack` is closed.
    """

    def __init__(self, settings: Settings, cache: Path, report: Report, stack: ExitStack) -> None:
        self._settings = settings
        self.archives = cache / "archives"
        self._cache = cache
        self._report = report
        self._stack = stack
        self._earlier = stack.enter_context(ExitStack())
        self._has_indexes = self._opened = False

    @cached_property
    def apt(self) -> Apt:
        """The tree's apt; to make it starts some programs of the host, and uses no network."""
        sources = sources_for(self._settings, host_targets(self._cache), host_date_options())
        return Apt(sources, self._settings.debootstrap_arch, self._cache)

    def opened(self) -> Apt:
        """The same, with fresh indexes. Raises PackageError when a mirror or a signature is wrong."""
        if not self._opened:
            self._earlier.close()  # or we would wait for ourselves
            began = clock.monotonic()
            self._report(StepStarted(_INDEXES))
            self._report(Progress(_INDEXES, f"reading those of {self.apt.sources.mirror}"))
            self._stack.enter_context(self.apt.indexes())
            self._report(StepFinished(_INDEXES, clock.monotonic() - began, size_of(self.apt.lists)))
            self._has_indexes = self._opened = True
        return self.apt

    def resolve(self, tree: TreeSpec, kept: Kept | None = None, held: str = "") -> Resolution:
        """Exact packages for all images; `held` are records of packages that the mirror need not have any more."""
        from imagebuilder.engine.resolve import resolve  # late, for a build with a lock needs none of it

        apt = self.opened().knowing(held)
        began = clock.monotonic()
        self._report(StepStarted(_RESOLVE))
        resolution = resolve(tree, apt, kept)
        found = {deb for image in resolution.images.values() for deb in image.debs} | set(resolution.python)
        self._report(StepFinished(_RESOLVE, clock.monotonic() - began, sum(deb.size for deb in found)))
        return resolution

    def fetch(self, debs: Sequence[Deb]) -> None:
        """Have these packages on disk, whole. The network is used for those that are not, and only then.

        Raises PackageError for what the mirror has no more, or not as it was.
        """
        began = clock.monotonic()
        self._report(StepStarted(_FETCH))
        self._report(Progress(_FETCH, f"checking {len(debs)} packages"))
        wanted = missing(self.archives, debs)
        if wanted:
            apt = self.opened()
            _refuse_gone(sorted(set(wanted) - apt.known(wanted)), apt.sources.mirror)
            self._report(Progress(_FETCH, f"fetching {len(wanted)} packages", sum(deb.size for deb in wanted)))
            apt.download(wanted)
        self._have_indexes()
        self._report(StepFinished(_FETCH, clock.monotonic() - began, sum(deb.size for deb in wanted)))

    def _have_indexes(self) -> None:
        """Roots are shown indexes, be they old, for what a role installs by itself: fetch them if there are none."""
        if not self._has_indexes:
            self._has_indexes = self._earlier.enter_context(self.apt.indexes_of_earlier())
        if not self._has_indexes:
            self.opened()


def _refuse_gone(gone: Sequence[Deb], mirror: str) -> None:
    if gone:
        listed = "\n".join(f"`{deb.name}` {deb.version} ({deb.architecture})" for deb in gone)
        raise PackageError(
            f"{mirror} no longer has what {FILE} names, nor has this machine:\n{listed}",
            hint=f"`imagebuilder lock --upgrade {gone[0].name}` takes the version that there is; "
            "`snapshot: 20260101T000000Z` in group_vars names a day on which the mirror had them",
        )
