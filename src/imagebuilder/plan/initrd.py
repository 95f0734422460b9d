"""The steps of an initrd.

kernel packages -> Kernel -> Modules --.
busybox, our /init -> InitramfsTree ---+-> Provision -> PackInitramfs
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagebuilder.plan import names
from imagebuilder.plan.model import Artifact, Builder
from imagebuilder.plan.provisioner import actions_of
from imagebuilder.resolve.resolution import ImagePackages
from imagebuilder.spec.config import InitrdKeys
from imagebuilder.spec.tree import ImageSpec, TreeSpec
from imagebuilder.steps.base import Source
from imagebuilder.steps.initramfs import InitramfsTree, PackInitramfs
from imagebuilder.steps.kernel import Kernel, KernelImage
from imagebuilder.steps.modules import Modules, profile
from imagebuilder.steps.provision import Provision
from imagebuilder.store.manifest import INITRD, KERNEL

USERLAND_PACKAGES = ("busybox-static",)
"""What our part of the initrd runs on. Statically linked, it starts its applets without loading anything."""

FIRMWARE_PACKAGES = tuple(
    f"firmware-{name}" for name in ("bnx2", "bnx2x", "intel-misc", "linux-free", "misc-nonfree", "qlogic", "realtek")
)
"""Where the firmware of network cards is looked for; a suite may lack some of these."""

_NODE_FILES = Path(__file__).parents[1] / "node" / "initrd"


@dataclass(frozen=True, slots=True)
class InitrdInputs:
    """What an initrd's plan depends on beside its spec: packages, steps that bring Python for a role, the time."""

    packages: ImagePackages
    python: tuple[str, ...]
    epoch: int


def add_initrd(builder: Builder, tree: TreeSpec, image: ImageSpec, given: InitrdInputs) -> tuple[str, ...]:
    """Plan an initrd and the kernel beside it; returns the ids of its layers."""
    keys, packages = image.keys, given.packages
    assert isinstance(keys, InitrdKeys)
    assert packages.kernel is not None
    release = packages.kernel.release
    kernel = builder.add(f"kernel {release}: unpack", Kernel(release, packages.kernel.debs))
    modules = Modules(release, profile(keys.profile), keys.modules, packages.firmware)
    programs = InitramfsTree(Source.of(_NODE_FILES), packages.userland, keys.include_binaries)
    layers = [
        builder.add(f"{image.name}: modules", modules, kernel=(kernel,)),
        builder.add(f"{image.name}: programs", programs),
    ]
    if keys.files or keys.run or keys.clean or image.provisioner:
        provision = Provision(actions_of(tree, image, ImagePackages()))
        layers.append(builder.add(f"{image.name}: provision", provision, lower=layers, python=given.python))
    pack = PackInitramfs(release, "xz" if keys.profile == "metal" else "zstd", given.epoch)
    packed = builder.add(f"{image.name}: pack", pack, kernel=(kernel,), lower=layers)
    vmlinuz = builder.add(f"kernel {release}: image", KernelImage(release), kernel=(kernel,))
    builder.yields(Artifact(names.kernel(release), image.name, vmlinuz, KERNEL))
    builder.yields(Artifact(names.initrd(release), image.name, packed, INITRD))
    return tuple(layers)
