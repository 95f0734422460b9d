"""Which versions a role's tasks name, and what stays of them when they are moved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagebuilder.spec.legacy.pins import pinned, pins_in, pins_of_lists
from imagebuilder.spec.yamlfile import parse

MOVED: tuple[tuple[str, str], ...] = (
    ("apt: {name: aa=1}", "apt: {name: aa=9}"),
    ("apt: {pkg: 'aa=1,b,cc=2'}", "apt: {pkg: 'aa=9,b,cc=9'}"),
    ("package: {name: [aa=1, b]}", "package: {name: [aa=9, b]}"),
    ("ansible.builtin.apt: {name: aa=1}", "ansible.builtin.apt: {name: aa=9}"),
    (
        "{apt: {name: '{{ item }}'}, loop: [aa=1, '{{ b }}=2']}",
        "{apt: {name: '{{ item }}'}, loop: [aa=9, '{{ b }}=2']}",
    ),
    (
        "{apt: {name: '{{ item.package }}={{ item.version }}'}, with_items: [{package: a, version: 1}]}",
        "{apt: {name: '{{ item.package }}={{ item.version }}'}, with_items: [{package: a, version: '9'}]}",
    ),
    ("block: [{apt: {name: aa=1}}]", "block: [{apt: {name: aa=9}}]"),
)
LEFT = (
    "{apt: {name: aa=1}, when: b}",
    "{block: [{apt: {name: aa=1}}], when: b}",
    "{block: [{apt: {name: aa=1}, when: b}]}",
    "apt: {name: aa=1, state: absent}",
    "apt: {name: 'a={{ b }}'}",
    "apt: {deb: /tmp/aa=1}",
    "command: echo aa=1",
    "{copy: {src: aa=1}, with_items: [aa=1]}",
    "apt: aa=1",
)


@pytest.mark.parametrize(("old", "new"), MOVED)
def test_version_is_moved_where_packages_are_installed(old: str, new: str) -> None:
    assert pinned(_task(old), lambda *_: "9") == _task(new)


@pytest.mark.parametrize("text", LEFT)
def test_all_else_stays(text: str) -> None:
    assert pinned(_task(text), lambda *_: "9") == _task(text)
    assert list(pins_in([(0, _task(text))], parse("[]", Path("x.yml")))) == []


@pytest.mark.parametrize(
    ("task", "found"),
    [
        ("{apt: {name: '{{ item.package }}={{ item.version }}'}, with_items: '{{ names }}'}", ["a", "b"]),
        ("block: [{apt: {name: '{{ names | map(attribute=x) }}'}}]", ["a", "b"]),
        ("{apt: {name: '{{ names }}'}, when: x}", []),
        ("debug: {var: names}", []),
    ],
)
def test_list_of_the_tree_counts_where_a_task_installs_it(task: str, found: list[str]) -> None:
    text = (
        "names:\n  - {package: a, version: 1}\n  - {package: b, version: '2'}\n  - {package: '{{ c }}', version: 3}\n"
    )
    document = parse(text, Path("g"))
    lists = {"names": (document.value["names"], document), "text": ("names", document)}
    pins = list(pins_of_lists([_task(task)], lists))
    assert [pin.package for pin in pins] == found
    assert [pin.location.line for pin in pins] == [2, 3][: len(found)]


def _task(text: str) -> dict[str, Any]:
    task: dict[str, Any] = parse(text, Path("x.yml")).value
    return task
