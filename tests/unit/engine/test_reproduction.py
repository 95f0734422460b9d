"""Two caches of one plan: what is not equal is named, with the step to blame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.reproduction import Verdict, compare, elsewhere, fresh_cache, here
from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.command import run
from imagebuilder.host.machine import Machine
from imagebuilder.plan.model import Builder, Plan
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.store.index import change_index


@dataclass(frozen=True, slots=True)
class Folder(Step):
    """A step that makes a folder."""

    kind: ClassVar[str] = "folder"
    makes_folder: ClassVar[bool] = True

    name: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Pack(Folder):
    """A step that makes a file."""

    kind: ClassVar[str] = "pack"
    makes_folder: ClassVar[bool] = False


def _plan(version: str = "1") -> Plan:
    builder = Builder()
    bottom = builder.add("base: bootstrap", Folder("bottom"))
    top = builder.add("base: provision", Folder("top"), lower=(bottom,))
    builder.add("base: squashfs", Pack(version), lower=(bottom, top))
    builder.add("base: sbom", Pack(f"list {version}"), lower=(bottom, top))
    return builder.plan()


def _build(folder: Path, files: dict[str, str], packed: str, plan: Plan | None = None) -> Cache:
    """A cache in which the plan was done: one file a folder, by the end of its step's name."""
    cache = Cache(folder)
    cache.layout.prepare()
    with cache.rooms() as rooms:
        for step in (plan or _plan()).steps:
            output = cache.begin(rooms, step)
            if step.step.makes_folder:
                (output / step.name.split()[-1]).write_text(files.get(step.name.split()[-1], ""))
            else:
                output.write_text(packed if "squashfs" in step.name else "a list")
            cache.keep(step, output, 0, ())
    change_index(cache.layout, lambda index: index.moved("base:latest", cache.layout.put(packed.encode())))
    return cache


def test_equal_builds_are_reproducible(tmp_path: Path) -> None:
    caches = [_build(tmp_path / name, {}, "packed") for name in ("a", "b")]
    assert compare(*caches) == Verdict(3, (), ())


def test_file_that_differs_is_named_with_its_step(tmp_path: Path) -> None:
    caches = [_build(tmp_path / name, {"provision": name}, f"packed {name}") for name in ("a", "b")]
    verdict = compare(*caches)
    assert verdict.manifests == ("base:latest",)
    (unequal,) = verdict.steps
    assert unequal.step == "base: squashfs"
    assert [(p.path, p.step, p.how) for p in unequal.paths or ()] == [("/provision", "base: provision", ("content",))]


def test_packing_alone_may_be_to_blame(tmp_path: Path) -> None:
    (unequal,) = compare(*(_build(tmp_path / name, {}, f"packed {name}") for name in ("a", "b"))).steps
    assert unequal.paths == ()


def test_folders_that_are_gone_are_not_guessed_at(tmp_path: Path) -> None:
    first, second = (_build(tmp_path / name, {}, f"packed {name}") for name in ("a", "b"))
    with first.trees.work() as work:
        first.trees.forget(_plan().steps[0].id, work)
    (unequal,) = compare(first, second).steps
    assert unequal.paths is None


def test_other_plan_is_an_error(tmp_path: Path) -> None:
    first, second = _build(tmp_path / "a", {}, ""), _build(tmp_path / "b", {}, "", _plan("2"))
    with pytest.raises(ImagebuilderError, match="another plan: `base: s"):
        compare(first, second)


def test_fresh_cache_shares_the_packages_alone_and_goes_away(tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "store").mkdir()
    with fresh_cache(tmp_path) as fresh:
        assert (fresh / "archives").is_dir()
        assert not (fresh / "store").exists()
    assert not fresh.exists()
    assert (tmp_path / "archives").is_dir()


@pytest.mark.root
def test_elsewhere_is_another_machine_as_far_as_programs_see() -> None:
    script = "uname -n; umask; nproc; echo $TZ $LANG; exit 3"
    done = run(elsewhere(("sh", "-c", script), {"SOURCE_DATE_EPOCH": "1"}))
    assert done.stdout.split() == ["another-machine", "0077", "1", "Pacific/Chatham", "tr_TR.UTF-8"]
    assert done.status == 3
    assert "another-machine" not in run(here(("uname", "-n"), {})).stdout
