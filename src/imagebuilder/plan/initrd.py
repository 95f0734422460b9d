"""The steps of an initrd.

kernel packages -> Kernel -> Modules --.
busybox, our /init -> InitramfsTree ---+-> Provision -> PackInitramfs

A role of 2015 does not work on the initrd but on what it was made of:

Bootstrap -> Provision -> HookedPrograms, which is one layer more of the initrd
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagebuilder.errors import SpecError
from imagebuilder.plan import names
from imagebuilder.plan.model import Artifact, Builder
from imagebuilder.plan.provisioner import actions_of, role_of
from imagebuilder.plan.trust import authorities, trusted_keys
from imagebuilder.resolve.resolution import ImagePackages
from imagebuilder.spec.config import InitrdKeys
from imagebuilder.spec.tree import ImageSpec, TreeSpec
from imagebuilder.steps.base import Source, Step
from imagebuilder.steps.commands import RunCommands
from imagebuilder.steps.initramfs import InitramfsTree, PackInitramfs, Trust
from imagebuilder.steps.initramfs_hooks import FOLDERS, HookedPrograms
from imagebuilder.steps.kernel import Kernel, KernelImage
from imagebuilder.steps.modules import Modules, profile
from imagebuilder.steps.provision import Provision
from imagebuilder.steps.sbom import UnpackedPackages
from imagebuilder.store.manifest import INITRD, KERNEL

USERLAND_PACKAGES = ("busybox-static",)
"""What our part of the initrd runs on. Statically linked, it starts its applets without loading anything."""

VERIFIER = "minisign"
"""The public tool, and Debian's package, that checks signatures where keys are trusted: 1 MB with its libraries."""

TLS_CLIENT = "wget"
"""Who speaks HTTPS, with Range, redirects and certificates: busybox's own does not look at certificates.

3.2 MB compressed, with GnuTLS; curl is 6.7.
"""

VERITY = "dmsetup"
"""Who opens a base with a hash tree: veritysetup would bring OpenSSL for what the kernel does by itself."""

_VERITY_MODULE = "dm-verity"

FIRMWARE_PACKAGES = tuple(
    f"firmware-{name}" for name in ("bnx2", "bnx2x", "intel-misc", "linux-free", "misc-nonfree", "qlogic", "realtek")
)
"""Where the firmware of network cards is looked for; a suite may lack some of these."""

_NODE_FILES = Path(__file__).parents[1] / "node" / "initrd"


@dataclass(frozen=True, slots=True)
class InitrdInputs:
    """What an initrd's plan depends on beside its spec.

    Packages, steps that bring Python for a role, the time, and the step that a build root begins with.
    """

    packages: ImagePackages
    python: tuple[str, ...]
    epoch: int
    build_root: Step | None = None


def own_programs(tree: TreeSpec, keys: InitrdKeys) -> tuple[str, ...]:
    """The programs beside busybox that our part of an initrd runs, by the names of their packages, too."""
    wanted = {VERIFIER: bool(trusted_keys(tree)), TLS_CLIENT: keys.tls, VERITY: keys.verity}
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)


def add_initrd(builder: Builder, tree: TreeSpec, image: ImageSpec, given: InitrdInputs) -> tuple[str, ...]:
    """Plan an initrd and the kernel beside it; returns the ids of its layers."""
    keys, packages = image.keys, given.packages
    assert isinstance(keys, InitrdKeys)
    assert packages.kernel is not None
    release = packages.kernel.release
    kernel = builder.add(f"kernel {release}: unpack", Kernel(release, packages.kernel.debs))
    extra = (*keys.modules, *((_VERITY_MODULE,) if keys.verity else ()))
    modules = Modules(release, profile(keys.profile), extra, packages.firmware)
    trusted = trusted_keys(tree)
    programs = InitramfsTree(
        node=Source.of(_NODE_FILES),
        userland=packages.userland,
        programs=(*own_programs(tree, keys), *keys.include_binaries),
        trust=Trust(trusted, given.epoch) if trusted else None,
        authorities=_authorities(tree, image) if keys.tls else "",
    )
    layers = [
        builder.add(f"{image.name}: modules", modules, kernel=(kernel,)),
        builder.add(f"{image.name}: programs", programs),
    ]
    on_build_root = image.provisioner is not None and image.provisioner.on_build_root
    if on_build_root:
        layers.append(_hooked(builder, tree, image, given, kernel))
    if keys.files or keys.run or keys.clean or (image.provisioner and not on_build_root):
        provision = Provision(actions_of(tree, image, ImagePackages()))
        layers.append(builder.add(f"{image.name}: provision", provision, lower=layers, python=given.python))
    pack = PackInitramfs(release, "xz" if keys.profile == "metal" else "zstd", given.epoch)
    packed = builder.add(f"{image.name}: pack", pack, kernel=(kernel,), lower=layers)
    vmlinuz = builder.add(f"kernel {release}: image", KernelImage(release), kernel=(kernel,))
    suite, debs = tree.settings.debootstrap_release, packages.kernel.debs
    in_kernel = builder.add(f"kernel {release}: sbom", UnpackedPackages(suite, debs), lower=(kernel,))
    sources = (*debs, *packages.userland, *packages.firmware, *(packages.install if on_build_root else ()))
    inside = UnpackedPackages(suite, tuple(dict.fromkeys(sources)))
    in_initrd = builder.add(f"{image.name}: sbom", inside, lower=(kernel, *layers))
    builder.yields(Artifact(names.kernel(release), image.name, vmlinuz, KERNEL, in_kernel))
    builder.yields(Artifact(names.initrd(release), image.name, packed, INITRD, in_initrd))
    return tuple(layers)


def _authorities(tree: TreeSpec, image: ImageSpec) -> str:
    pem = authorities(tree)
    if not pem:
        raise SpecError(
            "`tls: true`, and nothing says whose certificates count",
            location=image.at("tls"),
            hint="`tls_ca: [keys/ca.pem]` in group_vars/on_imagebuild",
        )
    return pem


def _hooked(builder: Builder, tree: TreeSpec, image: ImageSpec, given: InitrdInputs, kernel: str) -> str:
    """Plan what a role of 2015 does in a build root; returns the id of the layer that comes of it."""
    assert image.provisioner is not None
    assert given.build_root is not None
    assert given.packages.kernel is not None
    bottom = builder.add(f"{image.name}: build root", given.build_root)
    folders = RunCommands((("mkdir", "-p", *FOLDERS),))
    work = Provision((folders, role_of(tree, image, image.provisioner)))
    top = builder.add(f"{image.name}: role in the build root", work, lower=(bottom,), python=given.python)
    hooks = HookedPrograms(given.packages.kernel.release)
    return builder.add(f"{image.name}: hooks", hooks, lower=(bottom, top), kernel=(kernel,))
