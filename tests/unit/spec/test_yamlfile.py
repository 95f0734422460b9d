"""YAML is read with its lines, strictly, and what is wrong with it is said with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.yamlfile import Key, Unsafe, load, parse

FILE = Path("vars/x.yml")

POSITIONS: tuple[tuple[tuple[Key, ...], int], ...] = (
    ((), 2),
    (("image",), 2),
    (("image", "packages"), 3),
    (("image", "packages", 0), 4),
    (("image", "packages", 1), 6),
    (("image", "files", 0), 8),
    (("image", "files", 0, "dest"), 9),
    (("image", "files", 0, "mode"), 8),
    (("image", "packages", 7), 3),
    (("nothing", "of", "this"), 2),
)
TEXT = """\
# a comment
image:
  packages:
    - a

    - b
  files:
    - src: x
      dest: /y
"""


@pytest.mark.parametrize(("keys", "line"), POSITIONS)
def test_every_part_has_its_line_and_what_is_not_there_that_of_what_encloses_it(
    keys: tuple[Key, ...], line: int
) -> None:
    assert parse(TEXT, FILE).at(*keys) == Location(FILE, line)


def test_empty_file_has_no_value_and_no_line() -> None:
    document = parse("# nothing\n", FILE)
    assert document.value is None
    assert str(document.at("image")) == "vars/x.yml"


MERGES: tuple[tuple[str, Any], ...] = (
    ("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\n", {"x": 3, "y": 2}),
    ("a: &a {x: 1, y: 2}\nb: {x: 3, <<: *a}\n", {"x": 3, "y": 2}),
    ("a: &a {x: 1}\nc: &c {x: 2, y: 2}\nb: {<<: [*a, *c]}\n", {"x": 1, "y": 2}),
    ("a: &a {x: 1, y: 1}\nc: &c {<<: *a, x: 2}\nd: *c\nb: {<<: *c, z: 3}\n", {"x": 2, "y": 1, "z": 3}),
    ("a: &a {x: 1}\nb: {<<: {<<: *a, x: 2}}\n", {"x": 2}),
    ('b: {"<<": 1}\n', {"<<": 1}),
)


@pytest.mark.parametrize(("text", "expected"), MERGES)
def test_merge_keeps_what_is_written_and_takes_the_first_of_the_rest(text: str, expected: Any) -> None:
    assert parse(text, FILE).value["b"] == expected


def test_merged_mapping_that_is_named_twice_reads_the_same_each_time() -> None:
    value = parse("a: &a {x: 1, y: 1}\nb: &b {<<: *a, x: 2}\nc: *b\nd: *b\n", FILE).value
    assert value["b"] == value["c"] == value["d"] == {"x": 2, "y": 1}


def test_merged_part_stands_where_it_is_written() -> None:
    document = parse("a: &a\n  x: 1\nb:\n  <<: *a\n", FILE)
    assert document.at("b", "x").line == 2


def test_date_stays_the_text_that_it_is() -> None:
    assert parse("released: 2024-01-31\n", FILE).value == {"released": "2024-01-31"}


def test_unsafe_text_is_known_as_such() -> None:
    assert isinstance(parse("x: !unsafe '{{ a }}'\n", FILE).value["x"], Unsafe)


BROKEN: tuple[tuple[str, int, str], ...] = (
    ("a: 1\nb: [1, 2\n", 3, "not valid YAML"),
    ("a: 1\n\tb: 2\n", 2, "not valid YAML"),
    ("a: 1\nb: 2\na: 3\n", 3, "the key `a` is given twice"),
    ("a:\n  - {b: 1, b: 2}\n", 2, "the key `b` is given twice"),
    ("a: 1\n---\nb: 2\n", 2, "single document"),
    ("a: !vault x\n", 1, "!vault"),
    ("a: *nothing\n", 1, "undefined alias"),
    ("a: {<<: 1}\n", 1, "`<<` merges mappings only"),
    ("a: {<<: [1]}\n", 1, "`<<` merges mappings only"),
    ("a: 1\n? [b, c]\n: 2\n", 2, "a key must be plain text"),
    ("a: &a\n  - *a\n", 0, "a part of it contains itself"),
    ("a: \x00\n", 0, "not valid YAML"),
)


@pytest.mark.parametrize(("text", "line", "message"), BROKEN)
def test_broken_file_is_an_error_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, FILE)
    assert caught.value.location == Location(FILE, line)
    assert message in caught.value.message
    assert caught.value.message.startswith("vars/x.yml:" if line == 0 else f"vars/x.yml:{line}: ")


@pytest.mark.parametrize("text", ["a: {{ name }}\n", "a: {{ name }}/x\n"])
def test_template_without_quotes_is_explained(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(f"b: 1\n{text}", FILE)
    assert caught.value.location.line == 2
    assert '"{{ name }}"' in (caught.value.hint or "")


def test_no_other_error_speaks_of_templates() -> None:
    with pytest.raises(SpecError) as caught:
        parse("a: '{{ b }}'\nc: [\n", FILE)
    assert caught.value.hint is None


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no\.yml: this file does not exist"):
        load(tmp_path / "no.yml")


def test_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_bytes(b"a: \xff\n")
    with pytest.raises(SpecError, match=r"x\.yml: this file cannot be read"):
        load(tmp_path / "x.yml")
    with pytest.raises(SpecError, match=r"this file cannot be read: .*directory"):
        load(tmp_path)
