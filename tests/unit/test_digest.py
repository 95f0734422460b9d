"""Digests say what a thing is: not where it lies, nor when it was written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder import digest

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_file_and_bytes_have_the_digest_that_sha256sum_says(tmp_path: Path) -> None:
    content = b"x" * (3 << 20)
    (tmp_path / "file").write_bytes(content)
    assert digest.of_bytes(b"") == EMPTY
    assert digest.of_file(tmp_path / "file") == digest.of_bytes(content) == hashlib.sha256(content).hexdigest()


def test_value_has_one_digest_however_it_is_written() -> None:
    assert digest.of_value({"b": [1, None], "a": "ä"}) == digest.of_value({"a": "ä", "b": [1, None]})
    assert digest.of_value({"a": "ä"}) == digest.of_bytes('{"a":"ä"}'.encode())
    assert digest.of_value(["1"]) != digest.of_value([1])


def _tree(root: Path) -> Path:
    (root / "tasks/empty").mkdir(parents=True)
    (root / "tasks/main.yml").write_text("[]")
    (root / "tasks/script").write_text("x")
    (root / "link").symlink_to("tasks")
    os.symlink(b"no-\xff-text", root / "odd")
    return root


def test_tree_has_the_same_digest_in_another_place_at_another_time(tmp_path: Path) -> None:
    first, second = _tree(tmp_path / "a"), _tree(tmp_path / "b/c")
    os.utime(second / "tasks/main.yml", (1, 1))
    (second / "tasks/main.yml").chmod(0o600)
    assert digest.of_tree(first) == digest.of_tree(second)


def _relink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("elsewhere")


def _unlink(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").mkdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "tasks/main.yml").write_text("[ ]"),
    "a name": lambda root: (root / "tasks/main.yml").rename(root / "tasks/main.yaml"),
    "a new file": lambda root: (root / "tasks/new").write_text(""),
    "an empty folder": lambda root: (root / "tasks/empty").rename(root / "tasks/full"),
    "the executable bit": lambda root: os.chmod(root / "tasks/script", 0o755),
    "a link's target": _relink,
    "a link that becomes what it names": _unlink,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_tree_has_another_digest_after_a_change_of(tmp_path: Path, change: Callable[[Path], object]) -> None:
    root = _tree(tmp_path / "a")
    before = digest.of_tree(root)
    change(root)
    assert digest.of_tree(root) != before


def test_single_file_is_known_by_content_and_executable_bit(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("x")
    assert digest.of_tree(tmp_path / "one") == digest.of_tree(tmp_path / "two")
    (tmp_path / "two").chmod(0o755)
    assert digest.of_tree(tmp_path / "one") != digest.of_tree(tmp_path / "two")


def test_link_to_a_file_is_known_by_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    before = digest.of_tree(tmp_path / "link")
    assert before == digest.of_tree(tmp_path / "real")
    (tmp_path / "real").write_text("y")
    assert digest.of_tree(tmp_path / "link") != before
