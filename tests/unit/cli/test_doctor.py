"""`imagebuilder doctor` says what is missing and how to mend it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from imagebuilder import resources
from imagebuilder.cli import doctor


def _parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    doctor.add_parser(parser.add_subparsers())
    return parser.parse_args(["doctor", *argv])


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of tools that `doctor test` looks at, in place of ours."""
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path)
    return tmp_path / "apt-test.txt"


def test_healthy_machine_is_ok(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text("dash  dash  # a shell\n")
    args = _parse("test")
    assert args.run(args) == 0
    assert capsys.readouterr().out.split()[:2] == ["ok", "dash"]


def test_missing_tool_fails_with_the_command_that_mends_it(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text("dash  dash  # a shell\nno-such-package  no-such-program  # shows the message\n")
    args = _parse("test")
    assert args.run(args) == 1
    out = capsys.readouterr().out
    assert "missing  no-such-program  shows the message; Debian package no-such-package" in out
    assert out.endswith("with: apt-get install --no-install-recommends no-such-package\n")
    assert "install --no-install-recommends dash" not in out


def test_json_holds_every_finding(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table.write_text("no-such-package  no-such-program /no/such/file  # why\n")
    args = _parse("test", "--json")
    assert args.run(args) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert [finding["name"] for finding in report["findings"]] == ["no-such-program", "/no/such/file"]
    assert {finding["state"] for finding in report["findings"]} == {"missing"}
    assert report["mend"] == "apt-get install --no-install-recommends no-such-package"


def test_verb_that_has_no_needs_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _parse("nonsense")
    assert caught.value.code == 2
    assert "build" in capsys.readouterr().err
