"""What Kea is told, as Kea itself takes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imagebuilder.cli.main import main


def test_kea_takes_the_configuration_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--pxe",
        "lo",
        "--pxe-range",
        "127.0.0.100,127.0.0.200",
        "--port",
        "81",
        "--cache",
        str(tmp_path / "cache"),
    ]
    assert main(["serve", "--print-kea", *words]) == 0
    path = tmp_path / "kea-dhcp4.conf"
    path.write_text(capsys.readouterr().out)
    done = subprocess.run(["kea-dhcp4", "-t", path], capture_output=True, text=True, check=False, cwd=tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "127.0.0.0/8" in said
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("words", [["--print-kea"], ["--pxe", "lo", "--pxe-proxy", "--print-kea"]], ids=str)
def test_what_kea_cannot_do_is_refused(words: list[str], tmp_path: Path) -> None:
    assert main(["serve", *words, "--cache", str(tmp_path)]) == 2
