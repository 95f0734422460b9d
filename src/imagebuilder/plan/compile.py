"""From a tree and its exact packages to a plan. Pure, but for the tree's own files, which are read and hashed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from imagebuilder.errors import SpecError
from imagebuilder.plan import names
from imagebuilder.plan.bootable import bootables, stack
from imagebuilder.plan.initrd import InitrdInputs, add_initrd
from imagebuilder.plan.model import Artifact, Builder, Plan
from imagebuilder.plan.provisioner import actions_of, path_excludes
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.resolution import ImagePackages, Resolution
from imagebuilder.spec.config import BaseKeys, InitrdKeys, OverlayKeys, PackageRequest
from imagebuilder.spec.tree import ImageSpec, TreeSpec
from imagebuilder.steps.base import Source, Step
from imagebuilder.steps.bootstrap import Bootstrap
from imagebuilder.steps.contents import ListContents
from imagebuilder.steps.footing import WriteFooting
from imagebuilder.steps.interpreter import PythonBundle
from imagebuilder.steps.mmdebstrap import Mmdebstrap
from imagebuilder.steps.overlay import PackOverlay
from imagebuilder.steps.provision import Provision
from imagebuilder.steps.rootfs import Rootfs
from imagebuilder.steps.sbom import InstalledPackages
from imagebuilder.steps.squashfs import Squashfs
from imagebuilder.steps.stack import Stack
from imagebuilder.steps.unsquash import Unsquash
from imagebuilder.steps.verity import AppendHashTree, NoteRootHash
from imagebuilder.store.manifest import BASE, OVERLAYS


def compile_plan(tree: TreeSpec, resolution: Resolution) -> Plan:
    """The plan of all images of a tree. Raises SpecError for what cannot be built together."""
    compiler = _Compiler(tree, resolution, Builder())
    for image in tree.images:
        compiler.layers(image.name)
    _refuse_clashes(tree, compiler.builder.artifacts)
    _refuse_unchecked(tree)
    made = compiler.builder.artifacts
    return compiler.builder.plan(bootables(tree, made), resolution.epoch)


@dataclass(frozen=True, slots=True)
class _Compiler:
    tree: TreeSpec
    resolution: Resolution
    builder: Builder
    known: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By image name the step ids of its layers, bottom first."""
    footings: dict[str, str] = field(default_factory=dict)
    """By the layer of each overlay the step that tells what it was made on, and what it changed there."""

    def layers(self, name: str) -> tuple[str, ...]:
        """The layers of an image, planned at first sight."""
        if name in self.known:
            return self.known[name]
        image = next((image for image in self.tree.images if image.name == name), None)
        if image is None:
            unsquash = Unsquash(Source.of(self.resolution.bases[name]))
            self.known[name] = (self.builder.add(f"{name}: unpack", unsquash),)
            return self.known[name]
        self.known[name] = self._plan(image)
        return self.known[name]

    def _plan(self, image: ImageSpec) -> tuple[str, ...]:
        match image.keys:
            case InitrdKeys():
                packages, python = self._packages(image), self._python(image)
                root = self._bootstrap(image.keys.include_packages, packages.install, ())
                given = InitrdInputs(packages, python, self.resolution.epoch, root)
                return add_initrd(self.builder, self.tree, image, given)
            case BaseKeys():
                return self._base(image, image.keys)
            case OverlayKeys():
                return self._overlay(image, image.keys)
            case _:
                raise TypeError(image.kind)

    def _base(self, image: ImageSpec, keys: BaseKeys) -> tuple[str, ...]:
        settings, debs = self.tree.settings, self._packages(image).install
        bootstrap = self._bootstrap(keys.packages, debs, keys.exclude)
        bottom = self.builder.add(f"{image.name}: bootstrap", bootstrap)
        provision = Provision(actions_of(self.tree, image, ImagePackages()))
        top = self.builder.add(f"{image.name}: provision", provision, lower=(bottom,), python=self._python(image))
        layers = (bottom, top)
        squashed = self.builder.add(f"{image.name}: squashfs", Squashfs(self.resolution.epoch), lower=layers)
        default = names.base(image.name, settings.debootstrap_release, self.resolution.kernel.release)
        listed = self.builder.add(
            f"{image.name}: sbom", InstalledPackages(settings.debootstrap_release, debs), lower=layers
        )
        artifact = Artifact(image.artifact_name or default, image.name, squashed, BASE, listed)
        self.builder.yields(self._with_hash_tree(artifact, layers) if keys.verity else artifact)
        return layers

    def _with_hash_tree(self, base: Artifact, layers: tuple[str, ...]) -> Artifact:
        """A base whose blocks nodes check when they read them."""
        packed = (base.step,)
        note = self.builder.add(f"{base.image}: root hash", NoteRootHash(), packed=packed)
        checked = self.builder.add(f"{base.image}: hash tree", AppendHashTree(), packed=packed, lower=layers)
        return replace(base, step=checked, notes=note)

    def _bootstrap(self, packages: tuple[PackageRequest, ...], debs: tuple[Deb, ...], exclude: tuple[str, ...]) -> Step:
        """A root with `packages`, which come down to `debs`, and nothing else."""
        rootfs = Rootfs(
            suite=self.tree.settings.debootstrap_release,
            architecture=self.tree.settings.debootstrap_arch,
            requests=(*map(str, packages), *(deb.name for deb in debs if deb.name == "usr-is-merged")),
            debs=debs,
            excludes=path_excludes(exclude),
            sources=self.resolution.published,
            epoch=self.resolution.epoch,
        )
        return Bootstrap(rootfs) if self.tree.settings.installs_directly else Mmdebstrap(rootfs)

    def _overlay(self, image: ImageSpec, keys: OverlayKeys) -> tuple[str, ...]:
        *under, _ = dict.fromkeys(stack(image, {image.name: image for image in self.tree.images}))
        below = self._stacked(image, under)
        actions = actions_of(self.tree, image, self._packages(image))
        upper = self.builder.add(
            f"{image.name}: provision", Provision(actions), lower=below, python=self._python(image)
        )
        layers = {"lower": below, "upper": (upper,)}
        pack = PackOverlay(keys.format, self.resolution.epoch, self._is_strict(image, keys))
        packed = self.builder.add(f"{image.name}: pack", pack, **layers)
        inside = InstalledPackages(self.tree.settings.debootstrap_release, self._packages(image).install)
        listed = self.builder.add(f"{image.name}: sbom", inside, **layers)
        self.footings[upper] = self._footing(image, under, layers)
        contents = self._contents(image, keys, packed)
        name, kind = names.overlay(image, keys), OVERLAYS[keys.format]
        self.builder.yields(Artifact(name, image.name, packed, kind, listed, self.footings[upper], contents))
        return (*below, upper)

    def _stacked(self, image: ImageSpec, under: Sequence[str]) -> tuple[str, ...]:
        """The layers of the images `under` another, bottom first, as the node stacks them."""
        below: tuple[str, ...] = ()
        for name in under:
            *made_on, upper = self.layers(name)
            if below in ((), tuple(made_on)):
                below = (*made_on, upper)
            elif upper not in self.footings:
                raise SpecError(
                    f"`{image.name}` is built on `{under[0]}` and on `{name}`, two bases",
                    location=image.at("base"),
                    hint="name one base, or overlays on one",
                )
            else:  # an overlay that knows nothing of what is below it here
                given = {"lower": below, "upper": (upper,), "footing": (self.footings[upper],)}
                below = (*below, upper, self.builder.add(f"{image.name}: stack {name}", Stack(), **given))
        return below

    def _footing(self, image: ImageSpec, under: Sequence[str], layers: Mapping[str, tuple[str, ...]]) -> str:
        """What an overlay is made on: artifacts of this plan and of earlier builds, from the bottom to the top."""
        made = {artifact.image: artifact.step for artifact in self.builder.artifacts}
        built = tuple(Source.of(self.resolution.bases[name]) for name in under if name not in made)
        on = tuple(made[name] for name in under if name in made)
        platform = (self.tree.settings.debootstrap_release, self.tree.settings.debootstrap_arch)
        footing = WriteFooting(platform, tuple(under), built)
        return self.builder.add(f"{image.name}: footing", footing, on=on, **layers)

    def _contents(self, image: ImageSpec, keys: OverlayKeys, packed: str) -> str:
        """What an overlay unpacks to; a squashfs is mounted."""
        if keys.format == "squashfs":
            return ""
        return self.builder.add(f"{image.name}: contents", ListContents(keys.format), packed=(packed,))

    def _is_strict(self, image: ImageSpec, keys: OverlayKeys) -> bool:
        if self.tree.settings.strict_portable and keys.format != "cpio.gz":
            raise SpecError(
                f"an initrd that is not ours does not unpack `format: {keys.format}`",
                location=image.at("format"),
                hint="write `format: cpio.gz`, or leave `--strict-portable` out",
            )
        return keys.strict_portable or self.tree.settings.strict_portable

    def _packages(self, image: ImageSpec) -> ImagePackages:
        return self.resolution.images[image.name]

    def _python(self, image: ImageSpec) -> tuple[str, ...]:
        if image.provisioner is None:
            return ()
        return (self.builder.add("python for Ansible", PythonBundle(self.resolution.python)),)


def _refuse_unchecked(tree: TreeSpec) -> None:
    """An initrd must be able to open every base that it is to boot."""
    bases = [image.name for image in tree.images if isinstance(image.keys, BaseKeys) and image.keys.verity]
    for image in tree.images:
        if bases and isinstance(image.keys, InitrdKeys) and not image.keys.verity:
            raise SpecError(
                f"`{bases[0]}` has `verity: true`, and `{image.name}`, which boots it, has not",
                location=image.at("verity"),
                hint="write `verity: true` under `image:` of the initrd as well",
            )


def _refuse_clashes(tree: TreeSpec, artifacts: tuple[Artifact, ...]) -> None:
    """Two images must not write one file."""
    images: Mapping[str, ImageSpec] = {image.name: image for image in tree.images}
    twice = [name for name, count in Counter(artifact.name for artifact in artifacts).items() if count > 1]
    for name in twice:
        first, second, *_ = [images[a.image] for a in artifacts if a.name == name]
        raise SpecError(
            f"`{second.name}` and `{first.name}` ({first.location}) both write the artifact `{name}`",
            location=second.location,
            hint="give one of them another `name:` under `image:`",
        )
