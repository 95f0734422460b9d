"""An image tree as one value: settings, build roots and the images of a playbook."""

from __future__ import annotations

import difflib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.config import BaseKeys, ImageKeys, InitrdKeys, OverlayKeys, read_keys
from imagebuilder.spec.inventory import GROUP, Kind, load_inventory
from imagebuilder.spec.legacy import keys as legacy
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.legacy.needless import ALONE, Context
from imagebuilder.spec.legacy.pins import Pin
from imagebuilder.spec.legacy.roles import read_role
from imagebuilder.spec.playbook import Entry, load_playbook, old_entries
from imagebuilder.spec.settings import UNSEEN, Settings, read_settings
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.yamlfile import Document, load

HOST_FACTS = ("playbook_dir", "ansible_kernel", "ansible_architecture")
"""What Ansible knows by itself, as far as trees use it in our keys: no role needs to be told."""
_MODELS: Mapping[Kind, type[ImageKeys]] = {"initrd": InitrdKeys, "base": BaseKeys, "overlay": OverlayKeys}
# A config file of 2015 gave the size of its own build root; ours is the whole build's.
_MAY_DIFFER = frozenset({"build_root_size"})


@dataclass(frozen=True, slots=True)
class Provisioner:
    """The Ansible role that finishes an image.

    `context` says what the build does without it; `on_build_root` is true of
    a role that works where an initrd was made of in 2015, a root with packages.
    `pins` are the versions of packages that the role itself asks for.
    """

    role: Path
    location: Location
    context: Context = ALONE
    on_build_root: bool = False
    pins: tuple[Pin, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One image of the tree.

    `keys` is the checked `image:` mapping of its kind; `variables` are what a
    role and templates see (group_vars, config file, playbook entry, -e), not
    rendered; `overrides` are those of `-e` again, which win over a role's own;
    `document` is the config file, for errors that point into it.
    """

    kind: Kind
    name: str
    keys: ImageKeys
    provisioner: Provisioner | None
    artifact_name: str | None
    variables: Mapping[str, Any]
    overrides: Mapping[str, Any]
    document: Document
    location: Location
    needless_role: Provisioner | None = None
    """A role of an old tree that the build does all of by itself."""
    changes: tuple[Change, ...] = ()

    def at(self, *keys: str | int) -> Location:
        """Where `image.KEYS` stands in the config file."""
        return self.document.at("image", *keys)


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """The whole of what the user wrote, for one run.

    `playbook` is its path in the tree, "" when one image is built without one;
    `settings_document` is where errors about settings point.
    """

    root: Path
    playbook: str
    settings: Settings
    settings_document: Document
    build_roots: Mapping[Kind, Path]
    images: tuple[ImageSpec, ...]
    changes: tuple[Change, ...] = ()
    """What of an old tree is read as something else."""


def load_tree(playbook: Path, extra: Mapping[str, Any]) -> TreeSpec:
    """Read the tree that `playbook` lies in. Raises SpecError, pointing at file and line."""
    return _with_files(read_tree(playbook, extra))


def read_tree(playbook: Path, extra: Mapping[str, Any]) -> TreeSpec:
    """The same, whether or not the files are there that the build will want."""
    path = playbook.resolve()
    tree = _read(path.parent, path.name, load_playbook(playbook), extra)
    return replace(tree, changes=(*old_entries(playbook), *tree.changes))


def load_image(root: Path, kind: Kind, config_file: str, provisioner: str | None, extra: Mapping[str, Any]) -> TreeSpec:
    """Read a tree for one image only, as the wrapper playbooks do."""
    entry = Entry(kind, config_file, provisioner, {}, Location(root / config_file))
    return _with_files(_read(root.resolve(), "", (entry,), extra))


def _read(root: Path, playbook: str, entries: Sequence[Entry], extra: Mapping[str, Any]) -> TreeSpec:
    document = _group_vars(root)
    given = {} if document.value is None else document.value
    if not isinstance(given, dict):
        raise SpecError("group_vars are a mapping", location=document.at())
    inventory = load_inventory(root / "hosts")
    shared = {**_host_facts(root), **inventory.variables, **given, **extra}
    shared, document = legacy.with_old_settings(shared, document)
    settings = read_settings(root, document, shared)
    shared, extra = ({k: v for k, v in given.items() if k not in UNSEEN} for given in (shared, extra))
    common = _Common(root, settings, document, shared, extra)
    images = _on_their_bases([_image(common, entry) for entry in entries])
    named = dict.fromkeys(inventory.variables, Location(root / "hosts")) | {name: document.at(name) for name in given}
    changes = (
        *legacy.without_meaning(named, of_one_image=False),
        *(change for image in images for change in image.changes),
    )
    return TreeSpec(root, playbook, settings, document, inventory.build_roots, images, changes)


def _group_vars(root: Path) -> Document:
    candidates = [root / "group_vars" / name for name in (GROUP, f"{GROUP}.yml", f"{GROUP}.yaml")]
    return next((load(path) for path in candidates if path.is_file()), Document(candidates[0], {}, {}))


def _host_facts(root: Path) -> dict[str, Any]:
    return dict(zip(HOST_FACTS, (str(root), platform.release(), platform.machine()), strict=True))


@dataclass(frozen=True, slots=True)
class _Common:
    """What all images of a tree have in common; `document` is group_vars, `shared` and `extra` are variables."""

    root: Path
    settings: Settings
    document: Document
    shared: Mapping[str, Any]
    extra: Mapping[str, Any]


def _image(common: _Common, entry: Entry) -> ImageSpec:
    root, settings, shared, extra = common.root, common.settings, common.shared, common.extra
    document = load(_config_file(root, entry))
    config = document.value if document.value is not None else {}
    if not isinstance(config, dict):
        raise SpecError("a config file is a mapping; the bare minimum is `provisioner:`", location=document.at())
    own = {k: v for k, v in config.items() if k not in ("image", "provisioner")}
    shown = settings.model_dump(mode="json", exclude_none=True, exclude=set(UNSEEN))
    if "repository_lists" in shared:
        del shown["repository_lists"]  # a role of 2015 reads more than the line
    _refuse_settings(own, document, entry)
    variables = {**shared, **own, **entry.variables, **extra, **shown}
    renderer = Renderer(variables)
    old = legacy.OldConfig(entry.kind, root, variables, frozenset({*own, *entry.variables}), renderer)
    image = renderer.value(config.get("image"), document, ("image",))
    if not isinstance(image, dict | None):
        raise SpecError("`image` is a mapping", location=document.at("image"))
    image, document, changes = legacy.with_old_names(old, image or {}, document)
    keys = read_keys(_MODELS[entry.kind], image, document, "image")
    provisioner = _provisioner(root, entry, config, renderer, document)
    if provisioner is None and "image" not in config and not old.lists():
        raise SpecError(
            "this config file says nothing to build",
            location=document.at(),
            hint="the bare minimum is `provisioner: roles/overlay/NAME`, or `image:` with `packages:`",
        )
    needless_role = None
    if provisioner:
        lists = {name: (value, document if name in own else common.document) for name, value in variables.items()}
        provisioner, needless_role, translated = _modern_role(root, provisioner, old, lists)
        changes += translated
    changes += legacy.without_meaning({name: document.at(name) for name in own}, of_one_image=True)
    artifact_name = legacy.artifact_name(entry.kind, variables, renderer, document)
    name = keys.name or document.path.stem
    spec = ImageSpec(entry.kind, name, keys, provisioner, artifact_name, variables, extra, document, entry.location)
    return replace(spec, needless_role=needless_role, changes=changes)


def _modern_role(
    root: Path, provisioner: Provisioner, old: legacy.OldConfig, variables: Mapping[str, tuple[Any, Document]]
) -> tuple[Provisioner | None, Provisioner | None, tuple[Change, ...]]:
    """The role as it runs today; second, in its place, one that the build does all of by itself.

    `variables` are all that it sees, each with where it stands.
    """
    lists = old.lists()
    packages = frozenset(name for name, key in lists.items() if key in ("packages", "include_packages"))
    debs = frozenset(name for name, key in lists.items() if key == "debs")
    context = Context(old.kind, packages, debs)
    role = read_role(root, provisioner.role, context)
    others = {name: given for name, given in variables.items() if name not in packages}
    modern = replace(provisioner, context=context, on_build_root=role.on_build_root, pins=role.pins(others))
    return (None, modern, role.changes) if role.empty else (modern, None, role.changes)


def _refuse_settings(own: Mapping[str, Any], document: Document, entry: Entry) -> None:
    """What holds for the whole tree cannot be said for one image."""
    for given, place in ((own, document.at), (entry.variables, lambda _: entry.location)):
        for name in sorted(given.keys() & Settings.model_fields.keys() - _MAY_DIFFER):
            raise SpecError(
                f"`{name}` holds for every image of the tree",
                location=place(name),
                hint="say it in group_vars/on_imagebuild, or with -e for one run",
            )


def _on_their_bases(images: Sequence[ImageSpec]) -> tuple[ImageSpec, ...]:
    """The images, each overlay with its base. Raises SpecError for twins and for overlays on what is no base."""
    by_name: dict[str, ImageSpec] = {}
    bases = [image.name for image in images if image.kind == "base"]
    for image in images:
        if twin := by_name.get(image.name):
            raise SpecError(
                f"the name `{image.name}` is taken by {twin.document.path} ({twin.location})",
                location=image.location,
                hint="give one of them another `name:` under `image:`",
            )
        by_name[image.name] = _with_base(image, bases)
    for image in by_name.values():
        _check_below(image, by_name, ())
    return tuple(by_name.values())


def _with_base(image: ImageSpec, bases: Sequence[str]) -> ImageSpec:
    """An overlay that names no base is made on the playbook's only one."""
    keys = image.keys
    if not isinstance(keys, OverlayKeys) or "base" in keys.model_fields_set or len(bases) != 1:
        return image
    return replace(image, keys=keys.model_copy(update={"base": tuple(bases)}))


def _check_below(image: ImageSpec, by_name: Mapping[str, ImageSpec], above: tuple[str, ...]) -> None:
    for index, name in enumerate(image.keys.base if isinstance(image.keys, OverlayKeys) else ()):
        if name in (*above, image.name):
            raise SpecError(f"`{name}` is built on itself", location=image.at("base", index))
        below = by_name.get(name)  # none: an artifact of an earlier build
        if below and below.kind == "initrd":
            raise SpecError(f"`{image.name}` is built on `{name}`, an initrd", location=image.at("base", index))
        if below:
            _check_below(below, by_name, (*above, image.name))


def _config_file(root: Path, entry: Entry) -> Path:
    path = root / entry.config_file
    if not path.is_file():
        raise SpecError(
            f"the config file `{entry.config_file}` does not exist",
            location=entry.location,
            hint=_nearest(entry.config_file, [str(p.relative_to(root)) for p in root.glob("vars/**/*.yml")]),
        )
    return path


def _provisioner(
    root: Path, entry: Entry, config: Mapping[str, Any], renderer: Renderer, document: Document
) -> Provisioner | None:
    value = entry.provisioner or config.get("provisioner")
    if value is None:
        return None
    if entry.provisioner:
        document = Document(entry.location.file, None, {(): entry.location.line})
    location = document.at("provisioner")
    name = renderer.value(value, document, ("provisioner",))
    role = root / str(name)
    if not role.is_relative_to(root):
        raise SpecError(f"the provisioner `{name}` is not in this tree", location=location)
    if not (role / "tasks").is_dir():
        known = [str(p.parent.relative_to(root)) for p in root.glob("roles/**/tasks")]
        raise SpecError(
            f"the provisioner `{name}` is not a role here (no folder `{name}/tasks`)",
            location=location,
            hint=_nearest(str(name), known),
        )
    return Provisioner(role, location)


def _with_files(tree: TreeSpec) -> TreeSpec:
    for image in tree.images:
        _check_files(tree.root, image.keys, image.document)
    return tree


def _check_files(root: Path, keys: ImageKeys, document: Document) -> None:
    """Every file that the build will read is there, before anything starts."""
    for index, need in enumerate(keys.requires):
        if not (root / need.file).exists():
            raise SpecError(
                f"the file `{need.file}` is missing; it cannot be shipped with this tree",
                location=document.at("image", "requires", index),
                hint=f"get it from its vendor ({need.source}) and put it at {root / need.file}",
            )
    wanted = [(("files", i), f.src) for i, f in enumerate(keys.files) if f.src]
    wanted += [(("debs", i), name) for i, name in enumerate(getattr(keys, "debs", ()))]
    for place, name in wanted:
        if not (root / name).exists():
            raise SpecError(
                f"the file `{name}` does not exist",
                location=document.at("image", *place),
                hint=f"files are looked up in {root}",
            )


def _nearest(name: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"there are: {', '.join(sorted(known))}" if known else None
