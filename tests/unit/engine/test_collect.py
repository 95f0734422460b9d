"""Garbage of a whole cache: packages that nothing was made from, notes about what is gone."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imagebuilder.engine.cache import Cache
from imagebuilder.engine.collect import Extent, collect
from imagebuilder.engine.failed import Failure
from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.machine import Machine
from imagebuilder.plan.model import Builder, PlannedStep
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Inputs, Step
from stores import add_image

KEPT, GONE = Deb("a", "1:2.0", "amd64", 1, "0" * 64), Deb("b", "1.0", "all", 1, "1" * 64)


@dataclass(frozen=True, slots=True)
class Install(Step):
    kind: ClassVar[str] = "install"
    debs: tuple[Deb, ...]
    deep: tuple[dict[str, Any], ...] = ()

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Layer(Install):
    kind: ClassVar[str] = "layer"
    makes_folder: ClassVar[bool] = True


def _step(*debs: Deb, deep: tuple[dict[str, Any], ...] = ()) -> PlannedStep:
    builder = Builder()
    builder.add("install", Install(debs, deep))
    return builder.plan().steps[0]


def _keep(cache: Cache, step: PlannedStep, content: str) -> None:
    with cache.rooms() as rooms, cache.doing(step):
        output = cache.begin(rooms, step)
        output.write_text(content)
        cache.keep(step, output, 0, ())


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """One step's output is needed by a name, another's is not."""
    cache = Cache(tmp_path / "cache")
    cache.layout.prepare()
    needed, unneeded = _step(KEPT), _step(GONE)
    _keep(cache, needed, "overlay")
    _keep(cache, unneeded, "garbage")
    cache.note_latest(Path("/tree"), needed)
    cache.note_latest(Path("/gone"), unneeded)
    add_image(cache.layout, "extra:latest", "overlay")
    archives = cache.folder / "archives"
    (archives / "partial").mkdir(parents=True)
    for name in (KEPT.file_name, GONE.file_name, "c_1_all.deb.FAILED", "imagebuilder.lock", "partial/d_1_all.deb"):
        (archives / name).touch()
    return cache


def _removed(cache: Cache, *, packages: bool = False, dry_run: bool = False) -> set[str]:
    removals = collect(cache, Extent(0, packages), dry_run=dry_run)
    return {f"{removal.kind} {removal.path.name}" for removal in removals if removal.kind not in ("blob", "record")}


def test_notes_about_what_is_gone_go(cache: Cache) -> None:
    locks = {f"note {_step(deb).id[:16]}" for deb in (KEPT, GONE)}
    assert _removed(cache) == {*locks, "note install"}
    assert cache.latest(Path("/tree"), "install") == _step(KEPT).id
    assert len(cache.latest_files()) == 1
    assert _removed(cache) == set()


def test_what_a_kept_failure_was_made_on_stays(cache: Cache) -> None:
    builder = Builder()
    builder.add("layer", Layer((GONE,)))
    (layer,) = builder.plan().steps
    with cache.rooms() as rooms, cache.doing(layer):
        cache.keep(layer, cache.begin(rooms, layer), 0, ())
    failure = Failure("1" * 64, "x", "/tree", "", (), {"lower": (str(cache.path(layer)),)}, "", "", {})
    (cache.failed / "1").mkdir(parents=True)
    (cache.failed / "1/failure.json").write_text(json.dumps(asdict(failure)))
    _removed(cache)
    assert cache.find(layer)
    (cache.failed / "1/failure.json").unlink()
    _removed(cache)
    assert not cache.find(layer)


def test_packages_go_only_when_asked_and_when_no_record_that_stays_names_them(cache: Cache) -> None:
    _removed(cache)
    assert _removed(cache, packages=True, dry_run=True) == {
        f"package {GONE.file_name}",
        "package c_1_all.deb.FAILED",
        "package d_1_all.deb",
    }
    _removed(cache, packages=True)
    assert sorted(path.name for path in cache.folder.glob("archives/*")) == sorted(
        [KEPT.file_name, "imagebuilder.lock", "partial"]
    )


def test_package_is_found_wherever_in_a_step_it_is_named(cache: Cache) -> None:
    _keep(cache, _step(deep=({"x": [{"y": GONE}]},)), "base")
    assert f"package {GONE.file_name}" not in _removed(cache, packages=True)


def test_nothing_goes_while_a_build_runs(cache: Cache) -> None:
    before = sorted(cache.folder.rglob("*"))
    with cache.used(), pytest.raises(ImagebuilderError, match="somebody builds"):
        _removed(cache, packages=True)
    assert sorted(path for path in cache.folder.rglob("*") if path.name != "in-use") == [
        path for path in before if path.name != "in-use"
    ]
