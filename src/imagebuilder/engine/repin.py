"""`--repin`: the versions that a tree names, as the newest that its suite has.

A pin of another suite, or one that the mirror has dropped, keeps a tree from
being built; here every pin is moved, and each move is told. Names are left
alone: a package that the suite does not have is an error as ever.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from imagebuilder.engine.resolve import kernel_of
from imagebuilder.errors import Location, PackageError
from imagebuilder.plan.requests import requests_of
from imagebuilder.resolve.apt import Apt
from imagebuilder.spec.config import ImageKeys, InitrdKeys, PackageRequest
from imagebuilder.spec.legacy.keys import artifact_name
from imagebuilder.spec.legacy.pins import with_versions
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.tree import ImageSpec, Provisioner, TreeSpec

_KERNEL = "linux-image-"
_RELEASE = re.compile(r"\d+\.\d[\d.]*-\d+(?:\.\d+)?-?(?P<flavour>.*)")
_KERNEL_VARIABLES = ("ubuntu_kernel_version", "initrd_kernel_version", "basefs_kernel_version")


@dataclass(frozen=True, slots=True)
class Move:
    """A package whose version is another one than the tree says."""

    location: Location
    package: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.location}: `{self.package}` {self.old} -> {self.new}"


def repin(tree: TreeSpec, apt: Apt) -> tuple[TreeSpec, tuple[Move, ...]]:
    """The tree with the newest versions in the place of those that it names, and what differs.

    Raises CommandError when apt cannot be asked.
    """
    pinned = {r.package for image in tree.images for r in requests_of(image) if r.version}
    pinned |= {pin.package for image in tree.images if image.provisioner for pin in image.provisioner.pins}
    known = pinned & set(apt.names())
    newest = {record.deb.name: record.deb.version for record in apt.records(sorted(known))}
    tree, moves = _with_kernels(tree, apt)
    images = []
    for image in tree.images:
        pinned_anew, moved = _with_versions(image, newest)
        images.append(pinned_anew)
        moves += moved
    return replace(tree, images=tuple(images)), tuple(dict.fromkeys(moves))


def _with_versions(image: ImageSpec, newest: Mapping[str, str]) -> tuple[ImageSpec, tuple[Move, ...]]:
    key = "include_packages" if isinstance(image.keys, InitrdKeys) else "packages"
    requests: list[PackageRequest] = []
    moves: list[Move] = []
    for index, request in enumerate(requests_of(image)):
        version = _moved(request.package, request.version, newest)
        if version != request.version:
            moves.append(Move(image.at(key, index), request.package, str(request.version), str(version)))
        requests.append(request.model_copy(update={"version": version}))
    provisioner, of_role = _with_pins(image.provisioner, newest)
    moves += of_role
    if not moves:
        return image, ()
    renderer = Renderer(image.variables)
    lists = {name for name in image.variables if name.endswith("_package_manifest")}
    lists |= {pin.variable for pin in image.provisioner.pins if pin.variable} if image.provisioner else set()
    anew = {
        name: with_versions(
            renderer.value(image.variables[name], image.document, (name,)), lambda p, v: _moved(p, v, newest) or v
        )
        for name in lists
    }
    keys: ImageKeys = image.keys.model_copy(update={key: tuple(requests)})
    variables = {**image.variables, **anew}
    return replace(image, keys=keys, variables=variables, provisioner=provisioner), tuple(moves)


def _with_pins(
    provisioner: Provisioner | None, newest: Mapping[str, str]
) -> tuple[Provisioner | None, tuple[Move, ...]]:
    """A role with the newest versions in the place of those that it names itself."""
    pins = provisioner.pins if provisioner else ()
    moved = [(pin, str(_moved(pin.package, pin.version, newest))) for pin in pins]
    moves = tuple(Move(pin.location, pin.package, pin.version, new) for pin, new in moved if new != pin.version)
    if not provisioner or not moves:
        return provisioner, ()
    context = replace(provisioner.context, versions={move.package: move.new for move in moves})
    anew = tuple(replace(pin, version=new) for pin, new in moved)
    return replace(provisioner, context=context, pins=anew), moves


def _moved(package: str, version: str | None, newest: Mapping[str, str]) -> str | None:
    """The version to ask for: a pattern that the newest matches stays."""
    found = newest.get(package)
    return version if version is None or found is None or fnmatch.fnmatch(found, version) else found


def _with_kernels(tree: TreeSpec, apt: Apt) -> tuple[TreeSpec, tuple[Move, ...]]:
    """The tree with newest kernels in the place of those that are gone, and names that hold their release."""
    names = frozenset(apt.names())
    own = (getattr(image.keys, "kernel_package", None) for image in tree.images)
    wanted = dict.fromkeys((tree.settings.kernel_package, *filter(None, own)))
    found = {package: new for package in wanted if (new := _newest_kernel(package, names, tree, apt))}
    if not found:
        return tree, ()
    moves = tuple(
        Move(tree.settings_document.at("kernel_package"), "kernel_package", old, new) for old, new in found.items()
    )
    settings = tree.settings
    package = found.get(settings.kernel_package, settings.kernel_package)
    images = tuple(_with_kernel(image, found) for image in tree.images)
    return replace(tree, settings=settings.model_copy(update={"kernel_package": package}), images=images), moves


def _newest_kernel(package: str, names: frozenset[str], tree: TreeSpec, apt: Apt) -> str | None:
    """The newest kernel package of the flavour of one that is gone; None when it is there, or no release."""
    match = _RELEASE.fullmatch(package.removeprefix(_KERNEL))
    if package in names or not match:
        return None
    default = f"{_KERNEL}{tree.settings.debootstrap_arch}"
    choices = (f"{_KERNEL}{match['flavour']}", default, f"{_KERNEL}generic")
    for choice in choices:
        if choice in names:
            return _KERNEL + kernel_of(apt, choice).release
    raise PackageError(f"there is no kernel in the place of `{package}`", hint="name one as `kernel_package`")


def _with_kernel(image: ImageSpec, found: Mapping[str, str]) -> ImageSpec:
    """An image with other kernels; old variables of its role and its file name hold their release."""
    releases = {old.removeprefix(_KERNEL): new.removeprefix(_KERNEL) for old, new in found.items()}
    renderer = Renderer(image.variables)
    named = dict(_kernel_variables(image, renderer, releases))
    variables = {**image.variables, **named}
    keys = image.keys
    if isinstance(keys, InitrdKeys) and keys.kernel_package and keys.kernel_package in found:
        keys = keys.model_copy(update={"kernel_package": found[keys.kernel_package]})
    name = artifact_name(image.kind, variables, Renderer(variables), image.document)
    return replace(image, keys=keys, variables=variables, artifact_name=name)


def _kernel_variables(image: ImageSpec, renderer: Renderer, releases: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in _KERNEL_VARIABLES:
        if name in image.variables:
            value = renderer.value(image.variables[name], image.document, (name,))
            if value in releases:
                yield name, releases[value]
