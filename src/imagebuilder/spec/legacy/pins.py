"""Versions of packages that a role itself asks for: in its tasks, or in a list of the tree that they loop over. Pure.

They are known before the role runs, so they can be looked up, and moved, then.
A task with a condition is left alone: nobody knows yet whether it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from imagebuilder.errors import Location
from imagebuilder.spec.legacy.tasks import BLOCKS, Task, module_of
from imagebuilder.spec.yamlfile import Document

Versions = Callable[[str, str], str]
"""A package and the version that is asked for -> the one to ask for."""

_MODULES = frozenset({"apt", "package"})
_NAMES = frozenset({"name", "pkg", "package"})
_LOOPS = frozenset({"with_items", "loop"})
_ABSENT = frozenset({"absent", "removed"})
_PINNED = re.compile(r"(?P<package>[a-z0-9][a-z0-9+.-]+)=(?P<version>[A-Za-z0-9.+~:*-]+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """A version that is asked for; `variable` is the name of the list that it stands in, if it is in one."""

    location: Location
    package: str
    version: str
    variable: str = ""


def pins_in(tasks: Iterable[tuple[int, Task]], document: Document) -> Iterator[Pin]:
    """The versions that tasks name, each task with its index in `document`."""
    for index, task in tasks:
        found: list[tuple[str, str]] = []

        def note(package: str, version: str, found: list[tuple[str, str]] = found) -> str:
            found.append((package, version))
            return version

        pinned(task, note)
        yield from (Pin(document.at(index), package, version) for package, version in found)


def pins_of_lists(tasks: Iterable[Task], lists: Mapping[str, tuple[Any, Document]]) -> Iterator[Pin]:
    """The versions in those `lists` (by variable: the value, and where it stands) that tasks install."""
    installing = (task for task in _flat(tasks) if _options(task))
    said = {word for task in installing for word in re.findall(r"\w+", json.dumps(task, default=str))}
    for name, (value, document) in lists.items():
        for index, item in enumerate(value if name in said and isinstance(value, list) else ()):
            if _names_version(item):
                yield Pin(document.at(name, index), item["package"], str(item["version"]), name)


def pinned(task: Task, versions: Versions) -> Task:
    """A translated task with other versions in the place of those that it names."""
    if "when" in task:
        return task
    options = _options(task)
    moved: Task = {}
    for key, value in task.items():
        if key in BLOCKS and isinstance(value, list):
            moved[key] = [pinned(part, versions) for part in value]
        elif options and value is options:
            moved[key] = {k: _names(v, versions) if k in _NAMES else v for k, v in options.items()}
        else:
            moved[key] = _names(value, versions) if options and key in _LOOPS and isinstance(value, list) else value
    return moved


def with_versions(items: Any, versions: Versions) -> Any:
    """A list of `{package, version}` with other versions; anything else as it is."""
    return [_names(item, versions) for item in items] if isinstance(items, list) else items


def _flat(tasks: Iterable[Task]) -> Iterator[Task]:
    """Tasks without a condition, those in blocks too."""
    for task in tasks:
        if "when" not in task:
            yield task
            yield from _flat(part for key in BLOCKS for part in task.get(key) or ())


def _options(task: Task) -> Mapping[str, Any] | None:
    """The arguments of a task that installs packages."""
    module, options = module_of(task)
    if module in _MODULES and isinstance(options, dict) and options.get("state") not in _ABSENT:
        return options
    return None


def _names(value: Any, versions: Versions) -> Any:
    match value:
        case list():
            return [_names(item, versions) for item in value]
        case dict() if _names_version(value):
            return {**value, "version": versions(value["package"], str(value["version"]))}
        case str() if "{{" not in value:
            return ",".join(_name(name, versions) for name in value.split(","))
        case _:
            return value


def _name(text: str, versions: Versions) -> str:
    match = _PINNED.fullmatch(text.strip())
    return f"{match['package']}={versions(match['package'], match['version'])}" if match else text


def _names_version(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and {"package", "version"} <= item.keys()
        and isinstance(item["package"], str)
        and "{{" not in f"{item['package']}{item['version']}"
    )
