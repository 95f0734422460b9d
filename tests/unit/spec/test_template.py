"""Values are rendered as Ansible would do it, and what cannot be rendered is said with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.yamlfile import Document, Key, Unsafe, parse

FILE = Path("vars/x.yml")
NOWHERE = Document(FILE, None, {})
VARIABLES: dict[str, Any] = {
    "number": 5,
    "text": "t",
    "flag": False,
    "names": ["a", "b"],
    "table": {"key": {"inner": "{{ text }}"}},
    "nested": "<{{ once }}>",
    "once": "{{ number }}",
    "twice": "{{ once }}",
    "listed": ["{{ number }}", "{{ text }}"],
    "raw": Unsafe("{{ text }}"),
}

RENDERED: tuple[tuple[Any, Any], ...] = (
    ("plain", "plain"),
    (7, 7),
    (None, None),
    ("{{ number }}", 5),
    ("{{number}}", 5),
    ("{{- number -}}", 5),
    ("{{ -number }}", -5),
    ("{{ flag }}", False),
    ("{{ names }}", ["a", "b"]),
    ("{{ names | map('upper') }}", ["A", "B"]),
    ("{{ nothing | default([]) }}", []),
    ("{{ number }}{{ number }}", "55"),
    ("v{{ number }}", "v5"),
    ("{{ number }}\n", "5\n"),
    ("{% if flag %}yes{% else %}no{% endif %}", "no"),
    ("{% for n in names %}{{ n }};{% endfor %}", "a;b;"),
    ("{{ twice }}", 5),
    ("{{ nested }}", "<5>"),
    ("{{ listed }}", [5, "t"]),
    ("{{ table.key.inner }}", "t"),
    ("{{ names | join('\n') }}", "a\nb"),
    ("{{ {'a': {'b': number}} }}", "{'a': {'b': 5}}"),
    (Unsafe("{{ text }}"), "{{ text }}"),
    ("{{ raw }}", "{{ text }}"),
    (["{{ number }}", {"x": "{{ text }}", "{{ text }}": 1}], [5, {"x": "t", "{{ text }}": 1}]),
)


@pytest.mark.parametrize(("given", "expected"), RENDERED)
def test_value_is_rendered_and_keeps_its_type(given: Any, expected: Any) -> None:
    result = Renderer(VARIABLES).value(given, NOWHERE)
    assert result == expected
    assert isinstance(result, type(expected))


FAULTS: tuple[tuple[str, str, bool], ...] = (
    ("{{ nothing }}", "'nothing' is undefined", True),
    ("a {{ nothing }}", "'nothing' is undefined", True),
    ("{{ table.absent }}", "has no attribute 'absent'", True),
    ("{{ names | map('nofilter') }}", "nofilter", False),
    ("{{ nothing | to_json }}", "No filter named 'to_json'", False),
    ("{{ number + text }}", "unsupported operand", False),
    ("{{ 1 / 0 }}", "division by zero", False),
    ("{{ text.index('x') }}", "substring not found", False),
    ("{% if %}", "Expected an expression", False),
    ("{{ loop_a }}", "the variable `loop_a` refers to itself", False),
    ("{{ itself }}", "the variable `itself` refers to itself", False),
)


@pytest.mark.parametrize(("text", "message", "wants_a_variable"), FAULTS)
def test_what_cannot_be_rendered_is_an_error_with_its_place(text: str, message: str, wants_a_variable: bool) -> None:
    variables = {**VARIABLES, "loop_a": "{{ loop_b }}", "loop_b": "{{ loop_a }}", "itself": "{{ itself | default(1) }}"}
    document = parse("image:\n  run:\n    - x\n    - y\n", FILE)
    with pytest.raises(SpecError) as caught:
        Renderer(variables).value({"run": ["x", text]}, document, ("image",))
    assert caught.value.location == Location(FILE, 4)
    assert message in caught.value.message
    assert text in caught.value.message
    assert ("group_vars/on_imagebuild" in (caught.value.hint or "")) is wants_a_variable


def test_long_value_is_not_printed_whole() -> None:
    with pytest.raises(SpecError) as caught:
        Renderer({}).value("a line\n" * 100 + "{{ nothing }}", NOWHERE)
    assert len(caught.value.message) < 150
    assert "\n" not in caught.value.message


def test_renderer_is_usable_after_an_error() -> None:
    renderer = Renderer({"a": "{{ b }}", "c": 1})
    keys: tuple[Key, ...] = ()
    for _ in range(2):
        with pytest.raises(SpecError, match="'b' is undefined"):
            renderer.value("{{ a }}", NOWHERE, keys)
    assert renderer.value("{{ c }}", NOWHERE) == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a\nb\n{{ nothing }}\n", 3, "'nothing' is undefined"),
        ("a\n{% if %}\n", 2, "Expected an expression"),
        ("{{ number }}\n{{ number + text }}\n", 2, "unsupported operand"),
    ],
)
def test_fault_in_a_template_file_is_at_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    path = tmp_path / "x.j2"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        Renderer(VARIABLES).file(path, Location(FILE, 1))
    assert caught.value.location == Location(path, line)
    assert message in caught.value.message


def test_template_file_keeps_its_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "x.j2"
    path.write_text("{{ nested }}\n")
    assert Renderer(VARIABLES).file(path, Location(FILE)) == "<5>\n"


def test_template_that_is_a_folder_is_an_error_where_it_is_used(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        Renderer({}).file(tmp_path, Location(FILE, 3))
    assert caught.value.location == Location(FILE, 3)
