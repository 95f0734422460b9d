"""What a tree asks for and reads: all that its packages depend on, and the files that its images are made of.

The values are JSON, because a lock keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagebuilder.plan.initrd import FIRMWARE_PACKAGES, TLS_CLIENT, USERLAND_PACKAGES, VERIFIER, VERITY, own_programs
from imagebuilder.plan.provisioner import role_of
from imagebuilder.plan.trust import trusted_keys
from imagebuilder.spec.config import BaseKeys, InitrdKeys, OverlayKeys, PackageRequest
from imagebuilder.spec.tree import ImageSpec, TreeSpec
from imagebuilder.steps.base import Source
from imagebuilder.steps.interpreter import BUNDLE_PACKAGES

MINBASE = ("?essential", "?priority(required)", "apt")
"""What every base has, as apt is asked for it."""

PROGRAM: Mapping[str, Any] = {
    "base": list(MINBASE),
    "initrd": list(USERLAND_PACKAGES),
    "firmware": list(FIRMWARE_PACKAGES),
    "python": list(BUNDLE_PACKAGES),
}
"""What imagebuilder itself asks for, whatever the tree says."""

_SETTINGS = ("debootstrap_release", "debootstrap_arch", "kernel_package", "repository_lists", "snapshot")


def requests_of(image: ImageSpec) -> tuple[PackageRequest, ...]:
    """The packages that an image asks for by name."""
    match image.keys:
        case BaseKeys() | OverlayKeys():
            return image.keys.packages
        case InitrdKeys():
            return image.keys.include_packages
        case _:
            return ()


def userland_of(tree: TreeSpec, keys: InitrdKeys) -> tuple[str, ...]:
    """What our part of an initrd runs on."""
    return (*USERLAND_PACKAGES, *own_programs(tree, keys))


def settings_of(tree: TreeSpec) -> dict[str, Any]:
    """The tree's settings that packages depend on, by name. A mirror is none: all have the same packages."""
    settings: dict[str, Any] = tree.settings.model_dump(mode="json", include=set(_SETTINGS))
    return settings


def asks_of(tree: TreeSpec, image: ImageSpec, bases: Mapping[str, Path]) -> dict[str, Any]:
    """What one image's packages depend on, by key of `image:`.

    `bases` are artifacts of earlier builds, by image name. Those that an overlay
    is made on count as they are, under a key of our own, `built_bases`.
    """
    asks: dict[str, Any] = {"kind": image.kind}
    requests = [str(request) for request in requests_of(image)]
    match image.keys:
        case InitrdKeys() as keys:
            kernel = keys.kernel_package or tree.settings.kernel_package
            asks |= {"include_packages": requests, "firmware": keys.firmware, "kernel_package": kernel}
            on_build_root = image.provisioner is not None and image.provisioner.on_build_root
            asks |= {"verifier": VERIFIER} if trusted_keys(tree) else {}
            asks |= {"tls_client": TLS_CLIENT} if keys.tls else {}
            asks |= {"verity": VERITY} if keys.verity else {}
            return asks | ({"build_root": True} if on_build_root else {})
        case BaseKeys() as keys:
            return asks | {"packages": requests, "debs": _digests(tree, keys.debs)}
        case OverlayKeys() as keys:
            built = {name: Source.of(bases[name]).digest for name in keys.base if name in bases}
            asks |= {"packages": requests, "debs": _digests(tree, keys.debs), "base": list(keys.base)}
            return asks | ({"built_bases": built} if built else {})
        case _:
            return asks


def reads_of(tree: TreeSpec, image: ImageSpec) -> dict[str, str]:
    """The digest of each file, folder and role of the tree that an image is made of, by its place in the tree."""
    files = (file.src for file in image.keys.files if file.src is not None)
    reads = _digests(tree, tuple(files))
    if image.provisioner:
        role = role_of(tree, image, image.provisioner)
        reads |= {place: source.digest for place, source in role.sources.items()}
    return reads


def _digests(tree: TreeSpec, places: tuple[str, ...]) -> dict[str, str]:
    return {place: Source.of(tree.root / place).digest for place in places}
