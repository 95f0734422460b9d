"""Config files and group_vars in today's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagebuilder.migrate.pieces import dumped, split
from imagebuilder.migrate.variables import LISTS, base_name, overlay_name
from imagebuilder.spec.config import ImageKeys, PackageRequest
from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.legacy.variables import find
from imagebuilder.spec.tree import ImageSpec
from imagebuilder.spec.yamlfile import Document

_PREFIX = "linux-image-"


@dataclass(frozen=True, slots=True)
class Going:
    """What goes: `variables` of the whole tree, and this image's role if it is `without_role`.

    `shared` are the tree's own variables, which speak where an image's do not.
    """

    variables: frozenset[str]
    shared: Mapping[str, Any]
    without_role: bool = False


def config(text: str, image: ImageSpec, going: Going) -> tuple[str, tuple[Change, ...]]:
    """A config file's text with `image:` in the place of the variables that go."""
    document = image.document
    given: Mapping[str, Any] = document.value or {}
    block = {**(given.get("image") or {})}
    changes = list(_into(block, image, going))
    pieces = split(text, [document.at(name).line for name in given])
    kept: list[str] = []
    for name, piece in zip(given, pieces.entries, strict=True):
        if name == "provisioner" and going.without_role:
            changes.append(Change(document.at(name), "`provisioner`", "nothing: the keys of `image:` say all"))
        elif name == "build_root_size":
            changes.append(Change(document.at(name), f"`{name}`", "left out: that of group_vars holds for the build"))
        elif name in going.variables:
            changes += _gone(name, document)
        elif name != "image":
            kept.append(piece)
    if not changes:
        return text, ()
    new = dumped({"image": block}) if block else "image: {}\n" if going.without_role else ""
    kept.insert(1 if kept and "provisioner" in given and not going.without_role else 0, f"{new}\n" if new else "")
    return (pieces.head + "".join(kept)).rstrip("\n") + "\n", tuple(changes)


def group_vars(text: str, document: Document, going: Going) -> tuple[str, tuple[Change, ...]]:
    """group_vars' text without the variables that go, with the settings that they meant."""
    given: Mapping[str, Any] = document.value or {}
    pieces = split(text, [document.at(name).line for name in given])
    kept: list[str] = []
    changes: list[Change] = []
    for name, piece in zip(given, pieces.entries, strict=True):
        new = _setting(name, given) if name in going.variables else None
        if new:
            changes.append(Change(document.at(name), f"`{name}`", f"`{next(iter(new))}`"))
            kept.append(f"{dumped(new)}\n")
        elif name in going.variables:
            changes += _gone(name, document)
        elif name == "repository_lists" and (lines := _lines(given[name])):
            changes.append(Change(document.at(name), "`repository_lists` of mappings", "a list of lines"))
            kept.append(f"{dumped({name: lines})}\n")
        else:
            kept.append(piece)
    return pieces.head + "".join(kept), tuple(changes)


def _into(block: dict[str, Any], image: ImageSpec, going: Going) -> Iterator[Change]:
    """Put what an image's own variables mean into the `image:` mapping."""
    given: Mapping[str, Any] = image.document.value or {}
    if (name := _name(image, going)) and "name" not in block and name != image.document.path.stem:
        block["name"] = name
        yield Change(image.document.at(), f"the name `{image.name}`", f"`name: {name}`, as its artifact's")
    base = base_name(going.shared.get("basefs_image_name")) if "basefs_image_name" in going.variables else None
    if image.kind == "overlay" and base not in (None, "base"):
        block.setdefault("base", base)
        yield Change(image.document.at(), "the base of `basefs_image_name`", f"`base: {base}`")
    for key in LISTS:
        own = _items(given, image.kind, key, going.variables)
        if own and hasattr(image.keys, key):
            before = list(block.get(key) or [])
            # What follows in the keys was added because a base of 2015 had it by itself.
            block[key] = [*before, *own, *_added(image.keys, key, len(before) + len(own))]
            yield Change(image.document.at(), f"variables that list {key}", f"`{key}`")
    if "debs" in block and image.keys.requires:
        block["debs"] = list(getattr(image.keys, "debs", ()))
        block["requires"] = [need.model_dump() for need in image.keys.requires]
    version = str(given.get("initrd_kernel_version", ""))
    if "initrd_kernel_version" in going.variables and version and "ubuntu_kernel_version" not in version:
        block.setdefault("kernel_package", _PREFIX + version)


def _name(image: ImageSpec, going: Going) -> str | None:
    given = {**going.shared, **(image.document.value or {})}
    if image.kind == "overlay" and "overlayfs_archive_name" in going.variables:
        return overlay_name(given.get("overlayfs_archive_name"))
    if image.kind == "base" and "basefs_image_name" in going.variables:
        return base_name(given.get("basefs_image_name"))
    return None


def _items(given: Mapping[str, Any], kind: Kind, key: str, going: frozenset[str]) -> list[Any]:
    rows = ((name, find(name)) for name in given if name in going)
    names = [name for name, row in rows if row and row.place == kind and row.about == key]
    return [_item(item) for name in names for item in _listed(given[name])]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _item(item: Any) -> Any:
    """`{package, version}` in one word."""
    if isinstance(item, dict) and item.keys() == {"package", "version"}:
        return f"{item['package']}={item['version']}"
    return item["package"] if isinstance(item, dict) and item.keys() == {"package"} else item


def _added(keys: ImageKeys, key: str, known: int) -> list[str]:
    return [str(value) for value in getattr(keys, key)[known:] if isinstance(value, PackageRequest)]


def _setting(name: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The setting of today that takes the place of an old one."""
    if name == "ubuntu_kernel_version" and "kernel_package" not in given:
        return {"kernel_package": _PREFIX + str(given[name])}
    if name == "debootstrap_apt_server" and "apt_server" not in given:
        return {"apt_server": str(given[name]).split("://")[-1].split("/")[0]}
    return None


def _lines(value: Any) -> list[str]:
    """Package sources that are all given as mappings, as lines."""
    whole = isinstance(value, list) and all(isinstance(item, dict) and "line" in item for item in value)
    return [item["line"] for item in value] if whole else []


def _gone(name: str, document: Document) -> Iterator[Change]:
    row = find(name)
    if row and row.fate != "key":
        yield Change(document.at(name), f"`{name}`", f"left out: {row.about}" if row.fate == "gone" else "left out")
    elif row and row.about not in LISTS:
        yield Change(document.at(name), f"`{name}`", "said elsewhere")
