"""`imagebuilder keygen` makes a pair that minisign uses, and overwrites nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imagebuilder.cli.main import main


def test_pair_signs_and_checks_with_the_public_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", str(tmp_path / "keys/site.1")]) == 0
    public = capsys.readouterr().out.strip()
    secret = tmp_path / "keys/site.1.key"
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys/site.1.pub").read_text().splitlines()[1] == public
    (tmp_path / "file").write_text("content")
    subprocess.run(["minisign", "-S", "-s", secret, "-m", tmp_path / "file"], check=True, capture_output=True)
    subprocess.run(["minisign", "-V", "-P", public, "-m", tmp_path / "file"], check=True, capture_output=True)


@pytest.mark.parametrize("kind", ["key", "pub"])
def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    (tmp_path / f"site.{kind}").write_text("mine")
    assert main(["keygen", str(tmp_path / "site")]) == 2
    assert f"site.{kind}` exists already" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(f"site.{kind}", "mine")]
