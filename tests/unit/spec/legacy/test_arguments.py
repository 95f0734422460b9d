"""`key=value` arguments are read as Ansible reads them."""

from __future__ import annotations

import pytest
from ansible.parsing.splitter import parse_kv

from imagebuilder.spec.legacy.arguments import parsed

TEXTS = (
    "name=curl state=present",
    "name=tmpfs src=tmpfs  state=mounted ",
    'name="{{ item.package }}={{ item.version }}"',
    'src="{{ playbook_dir }}/files/{{ name }}" dest=/opt/ mode=0755',
    "path=/opt/{{ vendor }} state=directory",
    "line='a b' create=yes",
    r'line="say \"hello\"" dest=/x',
    r'line="one\ntwo" dest=/x',
    "msg='{{ \"a b\" }}'",
    "password='$6$salt$hash/with.dots' system=yes",
    'opts="rw,upperdir={{ upper }},lowerdir={{ lower }}"',
    "src=x{{ a if b == 'c d' else e }} dest=/y",
    "line=",
)


@pytest.mark.parametrize("text", TEXTS)
def test_arguments_are_those_that_ansible_finds(text: str) -> None:
    assert parsed(text) == ([], dict(parse_kv(text)))


def test_words_without_a_key_come_apart() -> None:
    assert parsed("packages.yml kind={{ a b }} 'x y'") == (["packages.yml", "'x y'"], {"kind": "{{ a b }}"})
