"""Which artifacts of a plan boot together. Pure.

Every base and every overlay boots with the tree's first initrd, under its own
name; with each further initrd under a name with that initrd's at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from imagebuilder.plan.model import Artifact, Bootable
from imagebuilder.spec.config import BaseKeys, OverlayKeys
from imagebuilder.spec.tree import ImageSpec, TreeSpec
from imagebuilder.store.manifest import INITRD, KERNEL


def bootables(tree: TreeSpec, artifacts: Sequence[Artifact]) -> tuple[Bootable, ...]:
    """What boots together; nothing that has a part which this plan does not make."""
    images = {image.name: image for image in tree.images}
    found = {(artifact.image, artifact.media_type): artifact for artifact in artifacts}
    tops = {artifact.image: artifact for artifact in artifacts if artifact.media_type not in (KERNEL, INITRD)}
    result: list[Bootable] = []
    initrds = [image.name for image in tree.images if image.kind == "initrd"]
    for number, initrd in enumerate(initrds):
        head = (found[initrd, KERNEL], found[initrd, INITRD])
        for image in tree.images:
            names = list(dict.fromkeys(stack(image, images)))
            if image.kind != "initrd" and all(name in tops for name in names):
                name = image.name if number == 0 else f"{image.name}.{initrd}"
                accepts = isinstance(image.keys, BaseKeys | OverlayKeys) and image.keys.node_layer
                result.append(Bootable(name, (*head, *(tops[part] for part in names)), accepts))
    return tuple(result)


def stack(image: ImageSpec, images: Mapping[str, ImageSpec]) -> Iterator[str]:
    """The names of an image's layers, bottom first; a name that the tree does not have is of an earlier build."""
    for below in image.keys.base if isinstance(image.keys, OverlayKeys) else ():
        if below in images:
            yield from stack(images[below], images)
        else:
            yield below
    yield image.name
