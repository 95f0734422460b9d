"""Names of 2015 and the keys of ours that they mean: the one place where old names are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagebuilder.errors import SpecError
from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.yamlfile import Document, Key

IMAGE_KEYS: Mapping[str, tuple[Kind, str]] = {
    "initrd_include_binaries": ("initrd", "include_binaries"),
    "initrd_package_manifest": ("initrd", "include_packages"),
    "basefs_package_manifest": ("base", "packages"),
}
"""Old variable -> (kind of image it belongs to, key under `image:`). Its list is added to our own."""

ARTIFACT_NAMES: Mapping[Kind, str] = {"overlay": "overlayfs_archive_name", "base": "basefs_image_name"}
"""By kind the old variable that gives the artifact's file name."""


def with_old_names(
    kind: Kind, image: Mapping[str, Any], variables: Mapping[str, Any], renderer: Renderer, document: Document
) -> tuple[dict[str, Any], Document]:
    """The `image:` mapping with what the old variables of its kind add to it, and where all of it stands."""
    merged, lines = dict(image), dict(document.lines)
    for name, (owner, key) in IMAGE_KEYS.items():
        own = merged.get(key) or []
        if owner != kind or name not in variables or not isinstance(own, list):
            continue
        given = renderer.value(variables[name], document, (name,))
        if not isinstance(given, list):
            raise SpecError(f"`{name}` must be a list", location=document.at(name))
        merged[key] = [*own, *given]
        lines |= _moved(document.lines, (name,), ("image", key), by=len(own))
    return merged, replace(document, lines=lines)


def artifact_name(kind: Kind, variables: Mapping[str, Any], renderer: Renderer, document: Document) -> str | None:
    """The file name that an old tree gives the artifact of an image of this kind."""
    name = ARTIFACT_NAMES.get(kind, "")
    value = renderer.value(variables.get(name), document, (name,))
    # 2015's role said `x.overlay.cpio` and then compressed it.
    return None if value is None else f"{value}.gz" if str(value).endswith(".cpio") else str(value)


def _moved(
    lines: Mapping[tuple[Key, ...], int], source: tuple[Key, ...], target: tuple[Key, ...], by: int
) -> dict[tuple[Key, ...], int]:
    """The lines of the items of the list at `source`, as those of items further down in the list at `target`."""
    depth = len(source)
    return {
        (*target, by + int(keys[depth]), *keys[depth + 1 :]): line
        for keys, line in lines.items()
        if keys[:depth] == source and len(keys) > depth
    }
