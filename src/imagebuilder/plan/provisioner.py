"""What a config file asks to be done to a root, as actions in their fixed order."""

from __future__ import annotations

from pathlib import Path

from imagebuilder.resolve.resolution import ImagePackages
from imagebuilder.spec.config import BaseKeys, FileRequest, OverlayKeys
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.tree import HOST_FACTS, ImageSpec, Provisioner, TreeSpec
from imagebuilder.steps.ansible import AnsibleRole
from imagebuilder.steps.base import Action, Source
from imagebuilder.steps.clean import Clean
from imagebuilder.steps.commands import RunCommands
from imagebuilder.steps.files import CopyFiles, FileCopy
from imagebuilder.steps.packages import InstallPackages

_CLEAN = Path(__file__).parents[1] / "steps" / "clean.txt"
_EXCLUDES = Path(__file__).with_name("excludes.txt")
_PREPARE = "/usr/lib/on-imagebuilder/prepare-image"
_NODE_FILES = Path(__file__).parents[1] / "node" / "rootfs"


def actions_of(tree: TreeSpec, image: ImageSpec, packages: ImagePackages) -> tuple[Action, ...]:
    """packages, the node's own files (base), files, run, the role, clean: those that have anything to do."""
    keys = image.keys
    actions: list[Action] = []
    # A base is bootstrapped with Debian's packages; the tree's own come to both kinds here.
    requests = tuple(map(str, keys.packages)) if isinstance(keys, OverlayKeys) else ()
    debs = tuple(Source.of(tree.root / name) for name in getattr(keys, "debs", ()))
    if requests or debs:
        actions.append(InstallPackages(requests, debs, packages.install, direct=tree.settings.installs_directly))
    if isinstance(keys, BaseKeys) and keys.agent:
        actions.append(CopyFiles((FileCopy("/", Source.of(_NODE_FILES)),)))
        actions.append(RunCommands((_PREPARE,)))
    if keys.files:
        actions.append(CopyFiles(tuple(_file(tree, image, i, f) for i, f in enumerate(keys.files))))
    if keys.run:
        actions.append(RunCommands(keys.run))
    if image.provisioner and not image.provisioner.on_build_root:
        actions.append(role_of(tree, image, image.provisioner))
    return (*actions, Clean((*_listed(_CLEAN), *keys.clean)))


def role_of(tree: TreeSpec, image: ImageSpec, provisioner: Provisioner) -> AnsibleRole:
    """An image's role, with all that it reads of the tree and the variables that the user gave it."""
    role = str(provisioner.role.relative_to(tree.root))
    variables = {name: value for name, value in image.variables.items() if name not in HOST_FACTS}
    return AnsibleRole.of(tree.root, role, variables, image.overrides, provisioner.context)


def path_excludes(extra: tuple[str, ...]) -> tuple[str, ...]:
    """Dpkg path patterns that never reach a base; `!` marks those that do all the same."""
    return (*_listed(_EXCLUDES), *extra)


def _listed(path: Path) -> tuple[str, ...]:
    """The lines of one of our lists, without comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(text for text in (line.partition("#")[0].strip() for line in lines) if text)


def _file(tree: TreeSpec, image: ImageSpec, index: int, request: FileRequest) -> FileCopy:
    dest, text, source = request.dest, request.content, None
    if request.src is not None:
        path = tree.root / request.src
        if dest.endswith("/") and not path.is_dir():
            dest += path.name
        if request.template:
            text = Renderer(image.variables).file(path, image.at("files", index))
        else:
            source = Source.of(path)
    return FileCopy(dest, source, text, request.mode, request.owner, request.group)
