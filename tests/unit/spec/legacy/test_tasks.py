"""Each construct of Ansible 1.9 and 2.1 that today's refuses, or takes for something else, in today's form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from imagebuilder.errors import SpecError
from imagebuilder.spec.legacy.changes import Change, summary
from imagebuilder.spec.legacy.tasks import Translator
from imagebuilder.spec.yamlfile import parse

FILE = Path("/tree/roles/x/tasks/main.yml")


def _translated(text: str) -> tuple[Any, list[Change]]:
    document = parse(text, FILE)
    translator = Translator(document)
    return translator.tasks(document.value), translator.changes


VERSIONS = (
    "{{ manifest | map(attribute=''package'') | zip(manifest | map(attribute=''version''))"
    " | map(''join'', ''='') | list }}"
)
MODERN: tuple[tuple[str, str], ...] = (
    ("- include: a.yml", "- import_tasks: a.yml"),
    ("- include: a.yml x=1 y='b c'\n  when: z", "- import_tasks: a.yml\n  vars: {x: '1', y: b c}\n  when: z"),
    ("- include: a.yml x=1\n  vars: [y: 2]", "- import_tasks: a.yml\n  vars: {x: '1', y: 2}"),
    ("- include: '{{ a }}.yml'", "- include_tasks: '{{ a }}.yml'"),
    ("- include: a.yml\n  static: no", "- include_tasks: a.yml"),
    (
        "- include: a.yml\n  sudo: yes\n  with_items: b",
        "- include_tasks: {file: a.yml, apply: {become: true}}\n  with_items: '{{ b }}'",
    ),
    ("- command: a\n  sudo: yes", "- command: a\n  become: true"),
    ("- command: a\n  sudo: 'no'", "- command: a\n  become: false"),
    ("- command: a\n  sudo_user: crew", "- command: a\n  become: true\n  become_user: crew"),
    ("- command: a\n  su: yes\n  su_user: crew", "- command: a\n  become: true\n  become_user: crew"),
    ("- command: a\n  always_run: yes", "- command: a\n  check_mode: false"),
    ("- command: a\n  with_items: b.c | default([])", "- command: a\n  with_items: '{{ b.c | default([]) }}'"),
    ("- command: a\n  with_dict: b", "- command: a\n  with_dict: '{{ b }}'"),
    ("- command: a\n  with_nested: [b, [c]]", "- command: a\n  with_nested: ['{{ b }}', [c]]"),
    ("- command: a\n  with_subelements: [b, keys]", "- command: a\n  with_subelements: ['{{ b }}', keys]"),
    ("- command: a\n  environment: proxy", "- command: a\n  environment: '{{ proxy }}'"),
    ("- command: a\n  vars: [x: 1, y: 2]", "- command: a\n  vars: {x: 1, y: 2}"),
    ("- command: a\n  when: b|success", "- command: a\n  when: b is succeeded"),
    ("- command: a\n  when: not b.c | failed and d", "- command: a\n  when: not b.c is failed and d"),
    ("- command: a\n  until: b|changed", "- command: a\n  until: b is changed"),
    ("- command: a\n  when: b.stdout", "- command: a\n  when: b.stdout != ''"),
    ("- command: a\n  when: [not b.stdout, c]", "- command: a\n  when: [b.stdout == '', c]"),
    ("- apt: name=a state=installed", "- apt: {name: a, state: present}"),
    ("- yum: {name: a, state: removed}", "- yum: {name: a, state: absent}"),
    ("- block:\n  - command: a\n    sudo: yes", "- block:\n  - command: a\n    become: true"),
    (
        '- apt: name="{{ item.package }}={{ item.version }}" force=yes\n  with_items: manifest',
        f"- apt: {{name: '{VERSIONS}', force: 'yes'}}",
    ),
    ("- apt: name={{ item }}\n  with_items: [a, b]", "- apt: {name: [a, b]}"),
    ("- apt: name={{ item }}\n  with_items: a", "- apt: {name: '{{ a }}'}"),
    (
        "- apt: pkg={{ item.name }}\n  with_items: a | b",
        "- apt: {name: \"{{ (a | b) | map(attribute='name') | list }}\"}",
    ),
)


@pytest.mark.parametrize(("old", "new"), MODERN)
def test_old_form_becomes_the_modern_one(old: str, new: str) -> None:
    tasks, changes = _translated(old)
    assert tasks == yaml.safe_load(new)
    assert any(change.refused for change in changes)


@pytest.mark.parametrize(("old", "new"), MODERN)
def test_modern_form_stays_as_it_is(old: str, new: str) -> None:
    tasks, changes = _translated(new)
    assert tasks == yaml.safe_load(new)
    assert not any(change.refused for change in changes)


VALID = (
    "- copy: src=a dest=/b mode=0755",
    "- local_action: >\n    command mv\n    a b",
    "- command: a chdir=/b\n  with_fileglob: files/*",
    "- shell: echo a=b > /c",
    "- apt: update_cache=yes",
    "- action: copy src=a dest=b",
    "- command: a\n  when: \"{{ b == 'c' }}\"",
    "- command: a\n  register: b\n  ignore_errors: true\n  notify: [c]\n  tags: d",
)


@pytest.mark.parametrize("text", VALID)
def test_what_today_still_takes_is_no_reason_to_translate(text: str) -> None:
    assert not any(change.refused for change in _translated(text)[1])


LOOPS = (
    "- apt: name={{ item }}\n  with_items: '{{ a }}'\n  register: b",
    "- apt: name={{ item }}\n  with_items: '{{ a }}'\n  when: item != 'c'",
    "- apt: name={{ item }} deb=/x/{{ item }}\n  with_items: '{{ a }}'",
    "- apt: name={{ item }}-{{ b }}\n  with_items: '{{ a }}'",
    "- apt: name={{ item }}\n  with_items: ['{{ a }}', b]",
    "- apt: name={{ item.a }}\n  with_dict: '{{ a }}'",
)


@pytest.mark.parametrize("text", LOOPS)
def test_loop_stays_where_one_call_could_be_another_thing(text: str) -> None:
    (task,), _ = _translated(text)
    assert "with_items" in task or "with_dict" in task


GONE = (
    ("- command: a\n- copy: dest=/a\n  first_available_file: [b]", 3, "first_available_file", "first_found"),
    ("- command: a\n  only_if: '$b'", 2, "only_if", "`when: a == b`"),
    ("- command: a\n  when_set: $b", 2, "when_set", "`when: a is defined`"),
    ("- hosts: all\n  tasks: []", 1, "hosts", "the wrapper playbook"),
    ("- block:\n    - command: a\n      su_pass: b", 3, "su_pass", "a build is root already"),
)


@pytest.mark.parametrize(("text", "line", "construct", "hint"), GONE)
def test_what_has_no_modern_form_is_an_error_at_its_line(text: str, line: int, construct: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        _translated(text)
    assert caught.value.location.line == line
    assert caught.value.message == f"{FILE}:{line}: Ansible has no `{construct}:` any more"
    assert hint in (caught.value.hint or "")


def test_each_kind_of_construct_is_told_once() -> None:
    text = "- command: a\n  sudo: yes\n- command: b\n  sudo: yes\n- include: c.yml\n- copy: src=d dest=e\n"
    assert summary(_translated(text)[1]) == (
        f"{FILE}:2: `sudo:`; today `become:` (and 1 more)",
        f"{FILE}:5: `include:` of tasks; today `import_tasks:`",
    )
