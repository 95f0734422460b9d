"""The variables of an old config file as keys of `image:`, and those of an old tree as settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.legacy.variables import find, list_keys
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.yamlfile import Document, Key

ARTIFACT_NAMES: Mapping[Kind, str] = {"overlay": "overlayfs_archive_name", "base": "basefs_image_name"}
"""By kind the old variable that gives the artifact's file name."""

_MINBASE_OF_2015 = ("systemd-sysv", "udev", "kmod", "iproute2")
_AGENTS_NEEDS = ("curl", "jq")

_BASE_BELOW = "squashfs_image_path"
_KERNEL = "linux-image-"
_VENDORS = {"storcli": "Broadcom, StorCLI", "perccli": "Dell, PercCLI"}


@dataclass(frozen=True, slots=True)
class OldConfig:
    """One image's variables: all of them, and the names of those that are its `own`."""

    kind: Kind
    root: Path
    variables: Mapping[str, Any]
    own: frozenset[str]
    renderer: Renderer

    def lists(self) -> Mapping[str, str]:
        """The variables whose items are items of a key -> that key. What a pattern means must be the image's own."""
        names = (name for name in self.variables if name in self.own or _is_exact(name))
        return list_keys(self.kind, frozenset(names))

    def value(self, name: str, document: Document) -> Any:
        return self.renderer.value(self.variables.get(name), document, (name,))


def with_old_names(
    old: OldConfig, image: Mapping[str, Any], document: Document
) -> tuple[dict[str, Any], Document, tuple[Change, ...]]:
    """The `image:` mapping with what the old variables of its kind add to it, and where all of it stands."""
    merged, lines = dict(image), dict(document.lines)
    changes: tuple[Change, ...] = ()
    for name, key in old.lists().items():
        own = merged.get(key) or []
        if not isinstance(own, list):
            continue
        given = _items(old, name, key, document)
        merged[key] = [*own, *given]
        lines |= _moved(document.lines, (name,), ("image", key), by=len(own))
        if key == "debs":
            source = _VENDORS[name.rpartition("_package")[0].rpartition("_")[2]]
            merged["requires"] = [*(merged.get("requires") or []), *({"file": d, "source": source} for d in given)]
    if old.kind == "base" and "basefs_package_manifest" in old.variables and ("image",) not in document.lines:
        merged["packages"], changes = _bootable(merged["packages"], document.at("basefs_package_manifest"))
    if old.kind == "initrd" and (version := old.value("initrd_kernel_version", document)):
        merged.setdefault("kernel_package", f"{_KERNEL}{version}")
    return merged, replace(document, lines=lines), changes


def with_old_settings(variables: Mapping[str, Any], document: Document) -> tuple[dict[str, Any], Document]:
    """The tree's variables with the settings that old ones mean, where the settings are not given themselves."""
    added: dict[str, tuple[str, str]] = {}
    if variables.get("ubuntu_kernel_version"):
        added["kernel_package"] = "ubuntu_kernel_version", _KERNEL + "{{ ubuntu_kernel_version }}"
    if variables.get("debootstrap_apt_server"):
        host = "{{ debootstrap_apt_server.split('://')[-1].split('/')[0] }}"
        added["apt_server"] = "debootstrap_apt_server", host
    new = {name: value for name, (_, value) in added.items() if name not in variables}
    lines: dict[tuple[Key, ...], int] = {(name,): document.at(added[name][0]).line for name in new}
    return {**variables, **new}, replace(document, lines={**document.lines, **lines})


def artifact_name(kind: Kind, variables: Mapping[str, Any], renderer: Renderer, document: Document) -> str | None:
    """The file name that an old tree gives the artifact of an image of this kind."""
    name = ARTIFACT_NAMES.get(kind, "")
    value = renderer.value(variables.get(name), document, (name,))
    # 2015's role said `x.overlay.cpio` and then compressed it.
    return None if value is None else f"{value}.gz" if str(value).endswith(".cpio") else str(value)


def base_below(variables: Mapping[str, Any], renderer: Renderer, document: Document) -> str | None:
    """The file name of the base that an overlay of an old tree is made on."""
    name = artifact_name("base", variables, renderer, document)
    if name is None and (path := renderer.value(variables.get(_BASE_BELOW), document, (_BASE_BELOW,))):
        return Path(str(path)).name
    return name


def without_meaning(named: Mapping[str, Location], *, of_one_image: bool) -> tuple[Change, ...]:
    """Of variables and where they stand, those that mean nothing today, each with the reason."""
    changes = []
    for name, place in named.items():
        row = find(name)
        if of_one_image and name == "build_root_size":  # every config file had one, so it is not refused
            row = find("build_root_build_size")
        if row and row.fate == "gone":
            changes.append(Change(place, f"`{name}`", f"without meaning: {row.about}"))
    return tuple(changes)


def _is_exact(name: str) -> bool:
    row = find(name)
    return row is not None and "*" not in row.name


def _items(old: OldConfig, name: str, key: str, document: Document) -> list[Any]:
    given = old.value(name, document)
    if key == "debs":
        return [_deb(old.root, str(deb)) for deb in ([given] if isinstance(given, str) else given or [])]
    if not isinstance(given, list):
        raise SpecError(f"`{name}` must be a list", location=document.at(name))
    return given


def _deb(root: Path, name: str) -> str:
    """The place in the tree of a package that a role copied out of `files/`."""
    # `playbook_dir` was the folder of the wrappers.
    places = [root / "files" / name, root / "common/files" / name, *sorted(root.glob(f"roles/**/files/{name}"))]
    found = next((path for path in places if path.is_file()), places[1 if places[1].parent.is_dir() else 0])
    return str(found.relative_to(root))


def _bootable(packages: list[Any], at: Location) -> tuple[list[Any], tuple[Change, ...]]:
    """A base's packages with what a minimal base of 2015 had by itself, and what our agent runs on."""
    there = {str(p.get("package") if isinstance(p, dict) else p).partition("=")[0] for p in packages}
    missing = [name for name in (*_MINBASE_OF_2015, *_AGENTS_NEEDS) if name not in there]
    if not missing:
        return packages, ()
    names = ", ".join(f"`{name}`" for name in missing)
    change = Change(at, "a base without init or the agent's needs", f"with {names}, as a base of 2015 had by itself")
    return [*packages, *missing], (change,)


def _moved(
    lines: Mapping[tuple[Key, ...], int], source: tuple[Key, ...], target: tuple[Key, ...], by: int
) -> dict[tuple[Key, ...], int]:
    """The lines of the items of the list at `source`, as those of items further down in the list at `target`."""
    depth = len(source)
    return {
        (*target, by + int(keys[depth]), *keys[depth + 1 :]): line
        for keys, line in lines.items()
        if keys[:depth] == source and len(keys) > depth
    }
