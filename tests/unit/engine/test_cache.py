"""A cache: where outputs go, who works with it, what was last done for which tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from imagebuilder.engine.cache import Cache, default_folder
from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.machine import Machine
from imagebuilder.plan.model import Builder, Plan
from imagebuilder.steps.base import Inputs, Step


@dataclass(frozen=True, slots=True)
class Note(Step):
    kind: ClassVar[str] = "note"
    word: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        raise NotImplementedError


def _plan(*words: str) -> Plan:
    builder = Builder()
    for word in words:
        builder.add(f"step {word}", Note(word))
    return builder.plan()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    cache = Cache(tmp_path / "cache")
    cache.layout.prepare()
    return cache


def test_kept_file_is_a_blob_with_a_record_and_nothing_is_left_of_the_work(cache: Cache) -> None:
    (step,) = _plan("a").steps
    with cache.rooms() as rooms:
        output = cache.begin(rooms, step)
        output.write_text("content")
        record = cache.keep(step, output, 1.5, (("part", 0.5),))
    assert (record.name, record.size, record.seconds, record.parts) == ("step a", 7, 1.5, (("part", 0.5),))
    assert cache.find(step) == record
    assert cache.path(step).read_text() == "content"
    assert (cache.layout.left_over(), cache.trees.left_over()) == ([], [])


def test_step_that_is_not_kept_has_no_path(cache: Cache) -> None:
    (step,) = _plan("a").steps
    assert cache.find(step) is None
    with pytest.raises(KeyError, match="step a"):
        cache.path(step)


def test_store_may_lie_elsewhere(tmp_path: Path) -> None:
    (step,) = _plan("a").steps
    here, there = (Cache(tmp_path / name, tmp_path / "shared") for name in ("here", "there"))
    here.layout.prepare()
    with here.rooms() as rooms:
        output = here.begin(rooms, step)
        output.write_text("content")
        here.keep(step, output, 0, ())
    assert there.find(step) == here.find(step)
    assert there.path(step).read_text() == "content"


def test_cache_is_emptied_only_while_nobody_uses_it_or_its_store(tmp_path: Path) -> None:
    one, other = Cache(tmp_path / "one", tmp_path / "store"), Cache(tmp_path / "other", tmp_path / "store")
    elsewhere = Cache(tmp_path / "one", tmp_path / "another store")
    with one.used(), other.used():
        for busy in (one, other, elsewhere):
            with pytest.raises(ImagebuilderError, match="somebody builds"), busy.emptied():
                pass
    with one.emptied():
        pass


def test_latest_step_of_a_name_is_known_for_each_tree_and_to_trees_that_have_none(cache: Cache) -> None:
    first, second = _plan("a", "b").steps
    cache.note_latest(Path("/tree"), first)
    cache.note_latest(Path("/tree"), second)
    assert cache.latest(Path("/tree"), first.name) == first.id
    assert cache.latest(Path("/tree"), second.name) == second.id
    assert cache.latest(Path("/other"), first.name) == first.id
    assert cache.latest(Path("/tree"), "another name") is None
    assert len(cache.latest_files()) == 2


def test_default_folder_is_the_users_own_unless_root_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/user")
    for is_root, home, folder in (
        (True, "/x", "/var/cache/on-imagebuilder"),
        (False, "/x", "/x/on-imagebuilder"),
        (False, "", "/home/user/.cache/on-imagebuilder"),
    ):
        monkeypatch.setattr("imagebuilder.engine.cache.is_root_of_the_machine", lambda is_root=is_root: is_root)
        monkeypatch.setenv("XDG_CACHE_HOME", home)
        assert default_folder() == Path(folder)
