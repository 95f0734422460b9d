"""Errors carry what the user needs: which command, which place, which exit status."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.errors import (
    CommandError,
    ImagebuilderError,
    Interrupted,
    Location,
    MissingToolError,
    NotPermittedError,
    PackageError,
    SpecError,
    StepError,
    UserError,
)

PLACE = Location(Path("vars/x.yml"), 3)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ImagebuilderError("x"), 1),
        (MissingToolError("x"), 1),
        (CommandError(("x",), 1, ""), 1),
        (UserError("x"), 2),
        (PackageError("x"), 2),
        (NotPermittedError("x"), 2),
        (SpecError("x", location=PLACE), 2),
        (StepError("base: bootstrap", CommandError(("x",), 1, "")), 1),
        (StepError("base: provision", SpecError("x", location=PLACE)), 2),
        (Interrupted("x"), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_status_says_whose_fault_it_was(error: ImagebuilderError, status: int) -> None:
    assert error.exit_code == status


def test_spec_error_begins_with_its_place() -> None:
    error = SpecError("wrong", location=PLACE, hint="do")
    assert str(error) == error.message == "vars/x.yml:3: wrong"
    assert error.hint == "do"
    assert str(Location(Path("vars/x.yml"))) == "vars/x.yml"


@pytest.mark.parametrize(("status", "how"), [(100, "exit status 100"), (-9, "signal 9")])
def test_failed_command_can_be_pasted_into_a_shell(status: int, how: str) -> None:
    error = CommandError(("sh", "-c", "echo 'a b'; false"), status, "output")
    assert error.message == f"`sh -c 'echo '\"'\"'a b'\"'\"'; false'` failed ({how})"
    assert error.detail == "output"


def test_failed_step_speaks_through_its_cause() -> None:
    cause = CommandError(("false",), 1, "output", hint="try true")
    error = StepError("base: bootstrap", cause)
    assert error.message == "base: bootstrap: `false` failed (exit status 1)"
    assert (error.hint, error.detail, error.cause) == ("try true", "output", cause)
