"""YAML with the line of every key, so that each error can point at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imagebuilder.errors import Location, SpecError

Key = str | int


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file's value and, by the keys that lead to it, the line (from 1) where each part stands."""

    path: Path
    value: Any
    lines: Mapping[tuple[Key, ...], int]

    def at(self, *keys: Key) -> Location:
        """Where `keys` leads, or the nearest enclosing part that has a line."""
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return Location(self.path, self.lines.get(keys, 1))


class _Loader(yaml.SafeLoader):
    """SafeLoader that also takes Ansible's `!unsafe` strings."""


def _unsafe(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("!unsafe", _unsafe)


def load(path: Path) -> Document:
    """Read one YAML file. Raises SpecError when it is not there or does not parse."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError("this file does not exist", location=Location(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"this file cannot be read: {error}", location=Location(path)) from None
    return parse(text, path)


def parse(text: str, path: Path) -> Document:
    """Parse YAML text that came from `path`."""
    loader = _Loader(text)
    lines: dict[tuple[Key, ...], int] = {}
    try:
        node = loader.get_single_node()
        value = None if node is None else _build(loader, node, (), lines, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise SpecError(f"not valid YAML: {problem}", location=Location(path, line)) from None
    except yaml.YAMLError as error:
        raise SpecError(f"not valid YAML: {error}", location=Location(path)) from None
    finally:
        loader.dispose()
    return Document(path, value, lines)


def _build(
    loader: _Loader, node: yaml.Node, keys: tuple[Key, ...], lines: dict[tuple[Key, ...], int], path: Path
) -> Any:
    lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Key, Any] = {}
        for key, child, line in _pairs(loader, node):
            if key in result:
                raise SpecError(f"the key `{key}` is given twice", location=Location(path, line))
            lines[(*keys, key)] = line
            result[key] = _build(loader, child, (*keys, key), lines, path)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(loader, child, (*keys, i), lines, path) for i, child in enumerate(node.value)]
    return loader.construct_object(node, deep=True)


def _pairs(loader: _Loader, node: yaml.MappingNode) -> Iterator[tuple[Key, yaml.Node, int]]:
    own = {id(key) for key, _ in node.value}
    loader.flatten_mapping(node)  # `<<: *defaults`
    given = {key.value for key, _ in node.value if id(key) in own}
    for key, child in node.value:
        if id(key) in own or key.value not in given:
            yield loader.construct_object(key), child, key.start_mark.line + 1
