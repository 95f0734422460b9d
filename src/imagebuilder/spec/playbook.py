"""The playbook: which images to build, each by the wrapper of its kind and a config file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.yamlfile import Document, load

WRAPPERS: Mapping[str, Kind] = {
    "initrd_wrapper.yml": "initrd",
    "basefs_wrapper.yml": "base",
    "overlay_wrapper.yml": "overlay",
}
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook", "include")
_OTHER_KEYS = ("vars", "name", "tags")
BUILDERS = frozenset({"ipxe_builder.yml", "syslinux_builder.yml", "docker_builder.yml"})
"""Playbooks of 2015 that made no image but what boots or builds one."""
_HINT = f"write `- import_playbook: common/overlay_wrapper.yml` (wrappers: {', '.join(WRAPPERS)})"


@dataclass(frozen=True, slots=True)
class Entry:
    """One image to build; `variables` are those given beside `config_file` and `provisioner`."""

    kind: Kind
    config_file: str
    provisioner: str | None
    variables: Mapping[str, Any]
    location: Location


def load_playbook(path: Path) -> tuple[Entry, ...]:
    """Every entry of a playbook and of the playbooks that it imports, in order. Raises SpecError."""
    entries = tuple(found for found in _load(path, ()) if isinstance(found, Entry))
    if not entries:
        raise SpecError("this playbook names no image", location=Location(path), hint=_HINT)
    return entries


def old_entries(path: Path) -> tuple[Change, ...]:
    """What of a playbook, which `load_playbook` has read, is written as in 2015."""
    return tuple(found for found in _load(path, ()) if isinstance(found, Change))


def _load(path: Path, above: tuple[Path, ...]) -> Iterator[Entry | Change]:
    document = load(path)
    if not isinstance(document.value, list):
        raise SpecError("a playbook is a list of `import_playbook` entries", location=document.at(), hint=_HINT)
    for index, play in enumerate(document.value):
        name = _imported(play, document, index)
        yield from _old_forms(play, document, index)
        if Path(name).name in BUILDERS:
            continue
        kind = WRAPPERS.get(Path(name).name)
        variables = _variables(play.get("vars"), document.at(index))
        if kind:
            yield _entry(kind, variables, document.at(index))
            continue
        inner, location = path.parent / name, document.at(index)
        if inner.resolve() in (*above, path.resolve()):
            raise SpecError(f"`{name}` imports itself", location=location)
        if not inner.is_file():
            raise SpecError(f"the playbook `{name}` does not exist", location=location)
        for found in _load(inner, (*above, path.resolve())):
            if isinstance(found, Change):
                yield found
            else:
                yield replace(found, variables={**found.variables, **variables})


def _old_forms(play: dict[str, Any], document: Document, index: int) -> Iterator[Change]:
    if "include" in play:
        yield Change(document.at(index, "include"), "`include:` of playbooks", "`import_playbook:`")
        if (name := Path(str(play["include"])).name) in BUILDERS:
            yield Change(document.at(index, "include"), f"`{name}`", "nothing: no boot loader is built here")
    if isinstance(play.get("vars"), list):
        yield Change(document.at(index, "vars"), "a list of `vars:`", "a mapping")


def _imported(play: Any, document: Document, index: int) -> str:
    names = [play[key] for key in _IMPORTS if key in play] if isinstance(play, dict) else []
    if len(names) != 1 or not isinstance(names[0], str):
        raise SpecError(
            "this entry imports no playbook; `imagebuilder build` reads only entries that name an image",
            location=document.at(index),
            hint=_HINT,
        )
    for key in play.keys() - {*_IMPORTS, *_OTHER_KEYS}:
        raise SpecError(
            f"`{key}` means nothing here",
            location=document.at(index, key),
            hint=f"what an image is to know stands under `vars:`; the keys of an entry are {_IMPORTS[0]}, vars, name",
        )
    return names[0]


def _entry(kind: Kind, variables: dict[str, Any], location: Location) -> Entry:
    config_file = variables.pop("config_file", None)
    if not isinstance(config_file, str):
        raise SpecError(
            "this entry names no config file", location=location, hint="add `vars: {config_file: vars/NAME.yml}`"
        )
    provisioner = variables.pop("provisioner", None)
    if provisioner is not None and not isinstance(provisioner, str):
        raise SpecError("`provisioner` is the path of a role", location=location)
    return Entry(kind, config_file, provisioner, variables, location)


def _variables(value: Any, location: Location) -> dict[str, Any]:
    """`vars`, as a dict or as the list of one-key dicts of 2015."""
    parts = value if isinstance(value, list) else [value or {}]
    if not all(isinstance(part, dict) for part in parts):
        raise SpecError("`vars` is a mapping (or a list of mappings)", location=location)
    return {key: val for part in parts for key, val in part.items()}
