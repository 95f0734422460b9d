"""Bases that an earlier build made, for overlays whose base is not in the same playbook."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from imagebuilder.errors import SpecError
from imagebuilder.plan import names
from imagebuilder.resolve.resolution import Kernel
from imagebuilder.spec.config import OverlayKeys
from imagebuilder.spec.legacy.keys import base_below
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.tree import ImageSpec, TreeSpec


def earlier_bases(tree: TreeSpec, kernel: Kernel) -> dict[str, Path]:
    """The artifacts of earlier builds that overlays here are made on, by image name. Raises SpecError if one is not."""
    built = {image.name for image in tree.images}
    found: dict[str, Path] = {}
    for image in tree.images:
        if not isinstance(image.keys, OverlayKeys):
            continue
        for index, name in enumerate(image.keys.base):
            if name in built or name in found:
                continue
            path = tree.settings.artifact_folder / _artifact(tree, image, name, kernel)
            if not path.is_file():
                raise SpecError(
                    f"the base `{name}` of `{image.name}` is not in this playbook, and {path} does not exist",
                    location=image.at("base", index),
                    hint=_hint(name, sorted(built)),
                )
            found[name] = path
    return found


def _artifact(tree: TreeSpec, image: ImageSpec, base: str, kernel: Kernel) -> str:
    """The artifact of a base that is not in this playbook; an overlay may have the old variable that names it."""
    given = base_below(image.variables, Renderer(image.variables), image.document)
    return given or names.base(base, tree.settings.debootstrap_release, kernel.release)


def _hint(name: str, built: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, built, n=1)
    return f"did you mean `{near[0]}`?" if near else "build it first, or add its entry to the playbook"
