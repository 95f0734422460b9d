"""What `inspect` says of an artifact."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from builds import PROGRAM
from imagebuilder.cli.main import main
from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry
from layers import layer, status, write_base, write_overlay

BASE = layer(
    {
        "/etc/motd": "hello",
        "/etc/kept": "kept",
        "/usr/share/doc/x": "x",
        "/var/lib/dpkg/status": status(libc6="1", sed="1", bash="1"),
        "/var/lib/dpkg/info/sed.list": "/.\n/bin\n/bin/sed\n",
        "/usr/bin/sed": "s" * 30,
    }
)
OVERLAY = layer(
    {
        "/etc/motd": "HELLO",
        "/etc/kept": "kept",
        "/usr/share/doc/x": None,
        "/usr/bin/sed": "S" * 40,
        "/usr/bin/tool": "t" * 100,
        "/var/lib/dpkg/status": status(libc6="1", sed="2", tool="1"),
        "/var/lib/dpkg/info/tool:amd64.list": "/.\n/usr\n/usr/bin\n/usr/bin/tool\n",
    }
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """A base and an overlay that no store knows."""
    base = write_base(tmp_path / "base.squashfs.img", BASE)
    return str(base), str(write_overlay(tmp_path / "x.overlay.cpio.gz", OVERLAY))


def test_overlay_is_compared_with_the_base_that_is_named(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, overlay = files
    assert main(["inspect", overlay, "--base", base, "--json", "--store", str(tmp_path)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["shadows"] == {
        "replaced": ["/etc/motd", "/usr/bin/sed", "/var/lib/dpkg/status"],
        "deleted": ["/usr/share/doc/x"],
    }
    assert [(c["name"], c["old"], c["new"]) for c in said["packages"]] == [
        ("bash", "1", ""),
        ("sed", "1", "2"),
        ("tool", "", "1"),
    ]
    weights = said["sizes"]["packages"]
    assert (weights["tool"] > 100, weights["sed"]) == (True, 40)
    assert said["sizes"]["folders"]["/usr/bin"] == 140
    assert said["kinds"] == {"file": 6, "folder": 10, "whiteout": 1}
    assert {line["path"]: line["what"] for line in said["entries"]}["/usr/share/doc/x"] == "whiteout"


def test_overlay_in_words(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, overlay = files
    assert main(["inspect", overlay, "--base", base, "--store", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"  - /usr/share/doc/x", "  ~ /etc/motd", "  ~ sed 1 -> 2", "  + tool 1", "  - bash 1"} <= set(lines)
    assert any(line.split() == ["/usr/bin", "140", "B"] for line in lines)


def test_without_its_base_an_overlay_still_tells_what_is_in_it(
    files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", files[1], "--store", str(tmp_path)]) == 0
    assert "it was made on layers that are not known: `--base B` names them" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere/x.overlay.cpio.gz", "nothing"])
def test_what_is_not_there_is_the_users_error(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", name, "--store", str(tmp_path)]) == 2
    assert name in capsys.readouterr().err


def test_names_that_are_no_text_are_printed_as_they_are(tmp_path: Path) -> None:
    name = b"opt/not \xff utf-8"
    file = Entry(Member(name, stat.S_IFREG | 0o644, size=1), b"x")
    overlay = write_overlay(tmp_path / "x.gz", cpio.number([*layer({"/opt/x": ""}), file]))
    base = write_base(tmp_path / "base.img", layer({}))
    other = write_overlay(tmp_path / "y.gz", layer({"/opt/x": ""}))
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    for verb in (["inspect", overlay, "--base", base, "--json"], ["diff", other, overlay], ["size", overlay]):
        argv = [str(PROGRAM), *map(str, verb), "--store", str(tmp_path / "store")]
        done = subprocess.run(argv, capture_output=True, check=True, env=strict)
        assert (name in done.stdout) == (verb[0] == "diff")
        assert done.stderr == b""
