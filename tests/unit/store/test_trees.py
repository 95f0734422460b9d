"""Folders that steps made: there as a whole, with their record, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagebuilder.store.trees import Trees, short_id
from stores import record

STEP, OTHER = "5" * 64, "6" * 64


def _keep(trees: Trees, step: str = STEP, content: str = "x") -> None:
    with trees.work() as work:
        folder = trees.begin(work, step)
        (folder / "file").write_text(content)
        trees.keep(folder, step, record(kind=content))


def test_kept_folder_is_found_with_its_record(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    assert trees.find(STEP) is None
    _keep(trees)
    found = trees.find(STEP)
    assert found
    assert found.step == {"kind": "x"}
    assert (trees.path(STEP) / "file").read_text() == "x"
    assert [name for name, _ in trees.all()] == [short_id(STEP)]
    assert os.listdir(tmp_path / "work") == ["lock"]


def test_folder_that_is_begun_is_not_seen(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    with trees.work() as work:
        trees.begin(work, STEP)
        assert trees.find(STEP) is None
        assert trees.folders() == []
        assert trees.left_over() == [work]
    assert trees.left_over() == []


def test_second_of_two_who_made_the_same_takes_what_is_there(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    _keep(trees, content="first")
    _keep(trees, content="second")
    assert (trees.path(STEP) / "file").read_text() == "first"


def test_place_that_something_else_has_taken_is_an_error(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    (trees.path(STEP) / "strange").mkdir(parents=True)
    with pytest.raises(OSError, match="not empty"):
        _keep(trees)
    assert [path.name for path in trees.folders()] == [short_id(STEP)]
    assert list(trees.all()) == []


def test_forgotten_folder_is_gone_and_others_are_not(tmp_path: Path) -> None:
    trees = Trees(tmp_path)
    _keep(trees)
    _keep(trees, OTHER)
    with trees.work() as work:
        trees.forget(STEP, work)
    assert [path.name for path in trees.folders()] == [short_id(OTHER)]
