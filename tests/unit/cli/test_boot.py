"""The command line of `imagebuilder boot`, as far as it goes without a virtual machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagebuilder.boot.artifacts import Artifacts
from imagebuilder.boot.phases import PhaseReached
from imagebuilder.boot.session import Boot, Outcome
from imagebuilder.cli import boot
from imagebuilder.cli.main import main
from imagebuilder.errors import BootError


def test_without_artifacts_it_says_what_makes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", "--builds", str(tmp_path / "builds")]) == 2
    said = capsys.readouterr().err
    assert "there is no artifact folder" in said
    assert "hint: `imagebuilder build` makes it" in said


def test_an_overlay_that_was_not_built_is_answered_with_those_that_were(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("vmlinuz-6", "initrd.img-6", "base.bookworm.6.squashfs.img", "raid.overlay.cpio.gz"):
        (tmp_path / name).touch()
    assert main(["boot", "--builds", str(tmp_path), "--overlay", "rade"]) == 2
    assert "hint: --overlay raid" in capsys.readouterr().err


def test_a_shell_and_a_command_are_one_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "--shell", "--command", "true"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


REQUEST = Boot(Artifacts(Path("/b"), "vmlinuz-6", "initrd.img-6", "base.img", ()), Path("/log"), command="lshw")
PHASES = (PhaseReached("kernel", 1.5), PhaseReached("init", 4.0), PhaseReached("result", 20.0))


def _outcome(error: object, hung: int = 0) -> Outcome:
    return Outcome(PHASES, {"cmd": "lshw", "stdout": "out\n", "stderr": "oops\n", "error": error}, "tcg", hung)


def test_what_the_task_printed_is_the_output_and_the_time_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert boot._conclude(REQUEST, _outcome(None), as_json=False) == 0
    said = capsys.readouterr()
    assert said.out == "out\n"
    assert said.err == "kernel start to result: 18.5 s (tcg)\n"


def test_starts_that_hung_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    boot._conclude(REQUEST, _outcome(None, hung=2), as_json=False)
    assert "after 2 starts that hung before /init" in capsys.readouterr().err


def test_json_holds_phases_and_result(capsys: pytest.CaptureFixture[str]) -> None:
    boot._conclude(REQUEST, _outcome(None), as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["phases"][0] == {"name": "kernel", "seconds": 1.5, "detail": ""}
    assert (said["task"]["stdout"], said["from_kernel"], said["log"]) == ("out\n", 18.5, "/log")


@pytest.mark.parametrize(
    ("error", "how"),
    [
        ({"killed": False, "code": 3, "signal": None}, "exit status 3"),
        ({"killed": True, "code": 143, "signal": "SIGTERM"}, "SIGTERM"),
        ("Error: Command failed", "Error: Command failed"),
    ],
)
def test_a_task_that_failed_fails_the_verb(error: object, how: str) -> None:
    with pytest.raises(BootError, match=f"the node ran `lshw`: {how}") as caught:
        boot._conclude(REQUEST, _outcome(error), as_json=False)
    assert caught.value.detail == "oops\n"
