"""`key=value` arguments of a task, as Ansible's `parse_kv` reads them.

    src="{{ playbook_dir }}/files/x" dest=/etc/x mode=0755

Words end at blanks outside of quotes and of Jinja; a value that is quoted as a
whole loses its quotes, and escapes in it mean what they mean in Python.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

_WORD = re.compile(
    r"""(?: \{\{.*?\}\} | \{%.*?%\} | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | \\. | \S )+""", re.VERBOSE | re.DOTALL
)
_KEY = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:U[0-9A-Fa-f]{8}|u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[0-7]{1,3}|N\{[^}]+\}|[\\'\"abfnrtv])")


def words(text: str) -> Iterator[str]:
    """The words of a text, quotes and Jinja kept whole."""
    return (match.group() for match in _WORD.finditer(text))


def parsed(text: str) -> tuple[list[str], dict[str, str]]:
    """The words of a text that are no `key=value`, and those that are."""
    free: list[str] = []
    pairs: dict[str, str] = {}
    for word in words(text):
        if match := _KEY.fullmatch(word):
            pairs[match[1]] = _value(match[2])
        else:
            free.append(word)
    return free, pairs


def _value(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return _ESCAPE.sub(lambda match: codecs.decode(match.group(), "unicode-escape"), text)
