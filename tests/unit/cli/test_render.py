"""An error on the terminal: the output worth reading, what happened, the way out, and the exit status."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder.cli.render import render_error, rendered
from imagebuilder.errors import CommandError, ImagebuilderError, Interrupted, Location, SpecError


def test_error_is_its_message_and_its_hint(capsys: pytest.CaptureFixture[str]) -> None:
    status = render_error(SpecError("wrong", location=Location(Path("a.yml"), 3), hint="do"))
    said = capsys.readouterr()
    assert (status, said.out, said.err) == (2, "", "error: a.yml:3: wrong\nhint: do\n")


def test_output_comes_first_and_error_last(capsys: pytest.CaptureFixture[str]) -> None:
    assert render_error(CommandError(("false",), 1, "one\ntwo\n\n")) == 1
    assert capsys.readouterr().err == "  | one\n  | two\nerror: `false` failed (exit status 1)\n"


def test_long_output_is_cut_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    render_error(ImagebuilderError("x", detail="".join(f"{n}\n" for n in range(100))))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "  | [70 lines before]"
    assert lines[1:-1] == [f"  | {n}" for n in range(70, 100)]


def _raise(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "status", "said"),
    [
        (lambda: 0, 0, ""),
        (lambda: 7, 7, ""),
        (_raise(ImagebuilderError("wrong")), 1, "error: wrong\n"),
        (_raise(Interrupted("stopped")), 130, "error: stopped\n"),
        (_raise(KeyboardInterrupt()), 130, "error: interrupted; nothing is left behind\n"),
        (_raise(PermissionError(errno.EACCES, "Permission denied", "/x")), 1, "error: Permission denied (/x)\n"),
        (_raise(OSError("no number")), 1, "error: no number\n"),
    ],
)
def test_whatever_work_raises_becomes_a_status_and_a_line(
    capsys: pytest.CaptureFixture[str], work: Callable[[], int], status: int, said: str
) -> None:
    assert rendered(work) == status
    assert capsys.readouterr().err == said


def test_bug_is_shown_as_one() -> None:
    with pytest.raises(ZeroDivisionError):
        rendered(_raise(ZeroDivisionError()))


def test_reader_that_goes_away_is_no_error() -> None:
    script = "from imagebuilder.cli.render import rendered\n"
    script += "rendered(lambda: [print('x' * 9999, flush=True) for _ in range(99)])"
    read, write = os.pipe()
    with subprocess.Popen([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        os.close(read)
        _, err = process.communicate()
    assert err == b""
