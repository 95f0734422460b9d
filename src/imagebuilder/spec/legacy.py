"""Names of 2015 and the keys of ours that they mean: the one place where old names are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagebuilder.spec.inventory import Kind

IMAGE_KEYS: Mapping[str, tuple[Kind, str]] = {
    "initrd_include_binaries": ("initrd", "include_binaries"),
    "initrd_package_manifest": ("initrd", "include_packages"),
    "basefs_package_manifest": ("base", "packages"),
}
"""Old variable -> (kind of image it belongs to, key under `image:`). Lists are put in front of our own."""

ARTIFACT_NAMES: Mapping[Kind, str] = {"overlay": "overlayfs_archive_name", "base": "basefs_image_name"}
"""By kind the old variable that gives the artifact's file name."""


def with_old_names(kind: Kind, image: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The `image:` mapping with what the old variables of its kind add to it."""
    merged = dict(image)
    for name, (owner, key) in IMAGE_KEYS.items():
        if owner == kind and isinstance(variables.get(name), list):
            merged[key] = [*variables[name], *(merged.get(key) or [])]
    return merged
