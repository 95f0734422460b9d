"""The steps of an initrd."""

from __future__ import annotations

from imagebuilder.plan.model import Builder
from imagebuilder.resolve.resolution import Resolution
from imagebuilder.spec.tree import ImageSpec, TreeSpec

USERLAND_PACKAGES = ("busybox",)
FIRMWARE_PACKAGES = ("firmware-bnx2",)


def add_initrd(
    builder: Builder, tree: TreeSpec, image: ImageSpec, resolution: Resolution, python: tuple[str, ...]
) -> tuple[str, ...]:
    raise NotImplementedError
