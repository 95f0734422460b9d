"""The names of artifacts, as boot servers have known them since 2015."""

from __future__ import annotations

from imagebuilder.spec.config import OverlayKeys
from imagebuilder.spec.tree import ImageSpec


def base(image_name: str, suite: str, kernel_release: str) -> str:
    """The squashfs of a base."""
    return f"{image_name}.{suite}.{kernel_release}.squashfs.img"


def overlay(image: ImageSpec, keys: OverlayKeys) -> str:
    """The archive of an overlay; an old tree's own name for it wins."""
    return image.artifact_name or f"{image.name}.overlay.{keys.format}"


def kernel(kernel_release: str) -> str:
    """The kernel beside an initrd."""
    return f"vmlinuz-{kernel_release}"


def initrd(kernel_release: str) -> str:
    """The initrd."""
    return f"initrd.img-{kernel_release}"
