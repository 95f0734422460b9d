"""YAML with the line of every key, so that each error can point at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from imagebuilder.errors import Location, SpecError

Key = str | int

_MERGE = "tag:yaml.org,2002:merge"
_QUOTE = 'a value that begins with a template is written in quotes: "{{ name }}"'


class Unsafe(str):
    """Ansible's `!unsafe` text: never rendered."""

    __slots__ = ()


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
        return Location(self.path, self.lines.get(keys, 0))


class _Loader(yaml.SafeLoader):
    """SafeLoader that knows Ansible's `!unsafe` and keeps a date as the text that it is."""


def _plain(loader: _Loader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _unsafe(loader: _Loader, node: yaml.ScalarNode) -> Unsafe:
    return Unsafe(_plain(loader, node))


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _plain)
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
    lines: dict[tuple[Key, ...], int] = {}
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        value = None if node is None else _build(loader, node, (), lines, path)
    except yaml.MarkedYAMLError as error:
        raise _invalid(error, text, path) from None
    except yaml.YAMLError as error:
        raise SpecError(f"not valid YAML: {error}", location=Location(path)) from None
    except RecursionError:
        raise SpecError("not valid YAML: a part of it contains itself", location=Location(path)) from None
    return Document(path, value, lines)


def _invalid(error: yaml.MarkedYAMLError, text: str, path: Path) -> SpecError:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    problem = " ".join(filter(None, (error.context, error.problem)))
    hint = _QUOTE if "{{" in "".join(text.splitlines()[line - 1 : line]) else None
    return SpecError(f"not valid YAML: {problem}", location=Location(path, line), hint=hint)


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
    """A mapping's keys, values and lines: its own, then what `<<` merges in under keys that are not there yet."""
    seen = set()
    for key_node, child in node.value:
        if key_node.tag != _MERGE:
            key = _key(loader, key_node)
            seen.add(key)
            yield key, child, key_node.start_mark.line + 1
    for source in _merged(node):
        for key, child, line in _pairs(loader, source):
            if key not in seen:
                seen.add(key)
                yield key, child, line


def _key(loader: _Loader, node: yaml.Node) -> Key:
    if not isinstance(node, yaml.ScalarNode):
        raise ConstructorError(None, None, "a key must be plain text", node.start_mark)
    key: Key = loader.construct_object(node)
    return key


def _merged(node: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    """The mappings that `<<` names, in the order in which they win."""
    for key_node, value in node.value:
        if key_node.tag == _MERGE:
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    raise ConstructorError(None, None, "`<<` merges mappings only", source.start_mark)
                yield source
