"""An image tree as one value: settings, build roots and the images of a playbook."""

from __future__ import annotations

import difflib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec import legacy
from imagebuilder.spec.config import BaseKeys, ImageKeys, InitrdKeys, OverlayKeys, read_keys
from imagebuilder.spec.inventory import Kind, load_build_roots
from imagebuilder.spec.playbook import Entry, load_playbook
from imagebuilder.spec.settings import Settings, read_settings
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.yamlfile import Document, load

_MODELS: Mapping[Kind, type[ImageKeys]] = {"initrd": InitrdKeys, "base": BaseKeys, "overlay": OverlayKeys}
GROUP = "on_imagebuild"


@dataclass(frozen=True, slots=True)
class Provisioner:
    """The Ansible role that finishes an image."""

    role: Path
    location: Location


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """One image of the tree.

    `keys` is the checked `image:` mapping of its kind; `variables` are what a
    role and templates see (group_vars, config file, playbook entry, -e), not
    rendered; `document` is the config file, for errors that point into it.
    """

    kind: Kind
    name: str
    keys: ImageKeys
    provisioner: Provisioner | None
    artifact_name: str | None
    variables: Mapping[str, Any]
    document: Document
    location: Location

    def at(self, *keys: str | int) -> Location:
        """Where `image.KEYS` stands in the config file."""
        return self.document.at("image", *keys)


@dataclass(frozen=True, slots=True)
class TreeSpec:
    """The whole of what the user wrote, for one run."""

    root: Path
    settings: Settings
    settings_file: Path
    build_roots: Mapping[Kind, Path]
    images: tuple[ImageSpec, ...]


def load_tree(playbook: Path, extra: Mapping[str, Any]) -> TreeSpec:
    """Read the tree that `playbook` lies in. Raises SpecError, pointing at file and line."""
    return _read(playbook.resolve().parent, load_playbook(playbook), extra)


def load_image(root: Path, kind: Kind, config_file: str, provisioner: str | None, extra: Mapping[str, Any]) -> TreeSpec:
    """Read a tree for one image only, as the wrapper playbooks do."""
    entry = Entry(kind, config_file, provisioner, {}, Location(root / config_file))
    return _read(root.resolve(), (entry,), extra)


def _read(root: Path, entries: Sequence[Entry], extra: Mapping[str, Any]) -> TreeSpec:
    document = _group_vars(root)
    given = document.value or {}
    if not isinstance(given, dict):
        raise SpecError("group_vars are a mapping", location=document.at())
    shared = {**_facts(root), **given, **extra}
    settings = read_settings(document, shared)
    images = tuple(_image(root, entry, shared, extra, settings) for entry in entries)
    return TreeSpec(root, settings, document.path, load_build_roots(root / "hosts"), images)


def _group_vars(root: Path) -> Document:
    candidates = [root / "group_vars" / name for name in (GROUP, f"{GROUP}.yml", f"{GROUP}.yaml")]
    return next((load(path) for path in candidates if path.is_file()), Document(candidates[0], {}, {}))


def _facts(root: Path) -> dict[str, Any]:
    """What Ansible would have known about the build host, as far as trees use it in our keys."""
    return {
        "playbook_dir": str(root),
        "ansible_kernel": platform.release(),
        "ansible_architecture": platform.machine(),
    }


def _image(
    root: Path, entry: Entry, shared: Mapping[str, Any], extra: Mapping[str, Any], settings: Settings
) -> ImageSpec:
    document = load(_config_file(root, entry))
    config = document.value if document.value is not None else {}
    if not isinstance(config, dict):
        raise SpecError("a config file is a mapping; the bare minimum is `provisioner:`", location=document.at())
    own = {k: v for k, v in config.items() if k not in ("image", "provisioner")}
    variables = {**shared, **settings.model_dump(mode="json"), **own, **entry.variables, **extra}
    renderer = Renderer(variables)
    image = config.get("image") or {}
    if not isinstance(image, dict):
        raise SpecError("`image` is a mapping", location=document.at("image"))
    image = legacy.with_old_names(entry.kind, image, variables)
    keys = read_keys(_MODELS[entry.kind], renderer.value(image, document, ("image",)), document, "image")
    provisioner = _provisioner(root, entry, config, renderer, document)
    if provisioner is None and "image" not in config:
        raise SpecError(
            "this config file says nothing to build",
            location=document.at(),
            hint="the bare minimum is `provisioner: roles/overlay/NAME`, or `image:` with `packages:`",
        )
    _check_files(root, keys, document)
    archive = variables.get(legacy.ARTIFACT_NAMES.get(entry.kind, ""))
    artifact_name = str(renderer.value(archive, document)) if archive else None
    name = keys.name or document.path.stem
    return ImageSpec(entry.kind, name, keys, provisioner, artifact_name, variables, document, entry.location)


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
    location = entry.location if entry.provisioner else document.at("provisioner")
    if value is None:
        return None
    name = renderer.value(value, document, ("provisioner",))
    role = root / str(name)
    if not (role / "tasks").is_dir():
        known = [str(p.parent.relative_to(root)) for p in root.glob("roles/**/tasks")]
        raise SpecError(
            f"the provisioner `{name}` is not a role here (no folder `{name}/tasks`)",
            location=location,
            hint=_nearest(str(name), known),
        )
    return Provisioner(role, location)


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
            raise SpecError(f"the file `{name}` does not exist in {root}", location=document.at("image", *place))


def _nearest(name: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"there are: {', '.join(sorted(known))}" if known else None
