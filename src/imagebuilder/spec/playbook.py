"""The playbook: which images to build, each by the wrapper of its kind and a config file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.yamlfile import Document, load

WRAPPERS: Mapping[str, Kind] = {
    "initrd_wrapper.yml": "initrd",
    "basefs_wrapper.yml": "base",
    "overlay_wrapper.yml": "overlay",
}
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook", "include")


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
    return tuple(_load(path, ()))


def _load(path: Path, above: tuple[Path, ...]) -> list[Entry]:
    document = load(path)
    if path.resolve() in above:
        raise SpecError("this playbook imports itself", location=Location(path))
    if not isinstance(document.value, list):
        raise SpecError("a playbook is a list of `import_playbook` entries", location=document.at())
    entries: list[Entry] = []
    for index, play in enumerate(document.value):
        name = _imported(play, document, index)
        kind = WRAPPERS.get(Path(name).name)
        if kind:
            entries.append(_entry(kind, play, document, index))
        else:
            entries += _load(path.parent / name, (*above, path.resolve()))
    return entries


def _imported(play: Any, document: Document, index: int) -> str:
    for key in _IMPORTS:
        if isinstance(play, dict) and isinstance(play.get(key), str):
            return str(play[key])
    raise SpecError(
        "this entry imports no playbook; `imagebuilder build` reads only entries that name an image",
        location=document.at(index),
        hint=f"write `- import_playbook: common/overlay_wrapper.yml` (wrappers: {', '.join(WRAPPERS)})",
    )


def _entry(kind: Kind, play: Mapping[str, Any], document: Document, index: int) -> Entry:
    location = document.at(index)
    variables = _variables(play.get("vars"), location)
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
