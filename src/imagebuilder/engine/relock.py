"""`imagebuilder lock`: a tree's lock, made or brought up to date, with as little change as can be."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence

from imagebuilder.engine.packages import Packages
from imagebuilder.engine.resolve import Kept
from imagebuilder.errors import UserError
from imagebuilder.plan.lock import lock_of, resolution_of, standing, unchanged
from imagebuilder.plan.requests import settings_of
from imagebuilder.resolve.archives import is_whole, stanza
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.lock import FILE, Lock
from imagebuilder.resolve.releases import by_suite, read_releases
from imagebuilder.resolve.resolution import Kernel
from imagebuilder.spec.tree import TreeSpec

# With another of these, no version of the old lock means anything.
_WORLD = ("debootstrap_release", "debootstrap_arch", "snapshot")
# Parts of a lock that belong to no image of a name.
_PYTHON, _KERNEL = "/python", "/kernel"


def relock(tree: TreeSpec, old: Lock | None, upgrade: Sequence[str] | None, packages: Packages) -> Lock:
    """The lock of a tree: what `old` has stays, but for what the tree no longer says so and for `upgrade`.

    `upgrade` names packages to take the newest of; empty, it is all. What is
    neither wanted anew nor upgraded keeps its version where the mirror or this
    machine has it. The network is used only if some package has to be found.
    Raises PackageError, SpecError, and UserError for a name that is not locked.
    """
    now = settings_of(tree)
    if old is None or (upgrade is not None and not upgrade) or any(old.settings.get(n) != now[n] for n in _WORLD):
        return _locked(tree, packages, Kept())
    named = _named(old, upgrade or ())
    same_kernel = old.settings.get("kernel_package") == now["kernel_package"]
    has_python = old.python or not any(image.provisioner for image in tree.images)
    if not named and same_kernel and has_python and len(unchanged(old, tree)) == len(tree.images):
        return lock_of(tree, resolution_of(old, tree), old.releases)
    held, kept = _kept(tree, old, named, packages)
    return _locked(tree, packages, kept, held)


def _locked(tree: TreeSpec, packages: Packages, kept: Kept, held: Sequence[Deb] = ()) -> Lock:
    stanzas = "".join(stanza(packages.archives, deb) for deb in held)
    resolution = packages.resolve(tree, kept, stanzas)
    return lock_of(tree, resolution, by_suite(read_releases(packages.apt.lists)))


def _kept(tree: TreeSpec, old: Lock, named: Collection[str], packages: Packages) -> tuple[list[Deb], Kept]:
    """What of the old lock can stay, and the packages among it that this machine has and the mirror no longer."""
    images = {image.name: old.images[image.name].packages for image in tree.images if image.name in old.images}
    kernels = _kernels(old)
    parts = {name: image.debs for name, image in images.items()} | {_PYTHON: old.python, _KERNEL: old.kernel.debs}
    debs = sorted({deb for part in parts.values() for deb in part})
    absent = set(debs) - packages.opened().known(debs)
    held = [deb for deb in sorted(absent) if deb.name not in named and is_whole(packages.archives, deb)]
    gone = absent - set(held)

    def stays(debs: Iterable[Deb]) -> bool:
        return not any(deb in gone or deb.name in named for deb in debs)

    answered = {name for name in unchanged(old, tree) if stays(parts[name])}
    return held, Kept(
        images={name: images[name] for name in standing(tree, answered)},
        kernels={name: kernel for name, kernel in kernels.items() if stays(kernel.debs)},
        python=old.python if stays(old.python) else (),
        versions={name: {deb.name: deb.version for deb in debs if stays([deb])} for name, debs in parts.items()},
        epoch=old.epoch,
    )


def _kernels(old: Lock) -> dict[str, Kernel]:
    """The kernels of a lock by the packages that were asked for."""
    kernels = {str(old.settings.get("kernel_package")): old.kernel}
    for image in old.images.values():
        if image.packages.kernel:
            kernels[str(image.asks.get("kernel_package"))] = image.packages.kernel
    return kernels


def _named(old: Lock, packages: Sequence[str]) -> frozenset[str]:
    """The packages to upgrade: those, and for the name of a kernel its parts. Raises UserError for an unknown one."""
    kernels = _kernels(old)
    parts = [*(image.packages.debs for image in old.images.values()), old.python, old.kernel.debs]
    known = {deb.name for part in parts for deb in part} | kernels.keys()
    for name in packages:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
            first = "a playbook is named first: `imagebuilder lock all.yml --upgrade`"
            hint = f"did you mean `{near[0]}`?" if near else first
            raise UserError(f"there is no package `{name}` in {FILE}", hint=hint)
    return frozenset(packages) | {deb.name for name in kernels.keys() & set(packages) for deb in kernels[name].debs}
