"""What failed steps left: found by name, replaced by a later failure, forgotten."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuilder.engine.failed import FailedSteps, Failure
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.host.local import AptFiles

X = Failure(
    "1" * 64, "x: provision", "/tree", "why", ("last words",), {"lower": ("/l",)}, "/lists", "/archives", {"A": "1"}
)
Y = replace(X, id="2" * 64, step="y: provision")
APT = AptFiles(Path("/lists"), Path("/archives"), {"apt.conf": b"\0"})


@pytest.fixture
def failed(tmp_path: Path) -> FailedSteps:
    return FailedSteps(tmp_path / "failed")


def _keep(failed: FailedSteps, failure: Failure, folder: Path) -> None:
    left = folder / "left"
    left.mkdir()
    (left / failure.step[0]).touch()
    # Two within one tick of the file system's clock would be in no order.
    for path in folder.glob("failed/*/failure.json"):
        os.utime(path, (0, path.stat().st_mtime - 5))
    failed.keep(failure, left, APT)


def test_last_failure_is_found_and_any_by_its_name(failed: FailedSteps, tmp_path: Path) -> None:
    _keep(failed, X, tmp_path)
    _keep(failed, Y, tmp_path)
    assert failed.find("").step == Y.step
    found = failed.find(X.step)
    assert (found.message, *found.output, *found.inputs["lower"]) == ("why", "last words", "/l")
    assert [path.name for path in failed.root(found).iterdir()] == ["x"]
    assert failed.apt(found) == APT


def test_failure_takes_the_place_of_the_one_before(failed: FailedSteps, tmp_path: Path) -> None:
    _keep(failed, X, tmp_path)
    (failed.root(X) / "change").touch()
    _keep(failed, replace(X, message="now"), tmp_path)
    assert [failure.message for failure in failed.all()] == ["now"]
    assert [path.name for path in failed.root(X).iterdir()] == ["x"]


def test_what_is_not_kept_is_an_error_that_says_what_is(failed: FailedSteps, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no failed step is kept in ") as caught:
        failed.find("")
    assert "--keep-failed" in (caught.value.hint or "")
    _keep(failed, X, tmp_path)
    with pytest.raises(UserError, match="no failure of a step `z` is kept") as caught:
        failed.find("z")
    assert caught.value.hint == "kept are those of `x: provision`"


def test_step_of_a_tree_is_forgotten_when_it_is_built_again(failed: FailedSteps, tmp_path: Path) -> None:
    for failure in (X, Y):
        _keep(failed, failure, tmp_path)
    failed.forget_steps(Path("/other"), [X.step, Y.step])
    assert len(failed.all()) == 2
    failed.forget_steps(Path("/tree"), [X.step, "z"])
    assert [failure.step for failure in failed.all()] == [Y.step]


def test_nothing_is_removed_from_under_an_open_shell(failed: FailedSteps, tmp_path: Path) -> None:
    _keep(failed, X, tmp_path)
    with failed.open(X):
        with pytest.raises(ImagebuilderError, match="a shell is open in the failed step `x: provision`"):
            failed.forget(X)
        failed.forget_steps(Path("/tree"), [X.step])
        assert failed.all()
    failed.forget(X)
    assert not failed.all()
