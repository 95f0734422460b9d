"""The lists of paths that images do without."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import imagebuilder

_PACKAGE = Path(imagebuilder.__file__).parent
EXCLUDES = _PACKAGE / "plan/excludes.txt"
CLEAN = _PACKAGE / "steps/clean.txt"


def _entries(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("path", [EXCLUDES, CLEAN], ids=lambda path: path.name)
def test_every_entry_is_an_absolute_path_and_stands_once(path: Path) -> None:
    entries = _entries(path)
    assert all(entry.removeprefix("!").startswith("/") for entry in entries)
    assert len(entries) == len(set(entries))


def test_what_is_kept_would_be_excluded_otherwise() -> None:
    entries = _entries(EXCLUDES)
    excluded = [entry for entry in entries if not entry.startswith("!")]
    for kept in (entry[1:] for entry in entries if entry.startswith("!")):
        example = kept.replace("*", "x").replace("[1-9]", "1")
        assert any(fnmatchcase(example, pattern) for pattern in excluded), kept


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/doc/bash/copyright",
        "/usr/share/man/man1",
        "/usr/lib/x86_64-linux-gnu/gconv/UTF-16.so",
        "/usr/lib/x86_64-linux-gnu/gconv/gconv-modules",
        "/usr/share/common-licenses/GPL-3",
        "/usr/share/zoneinfo/Europe/Berlin",
    ],
)
def test_what_a_system_needs_is_unpacked(path: str) -> None:
    entries = _entries(EXCLUDES)
    dropped = any(fnmatchcase(path, entry) for entry in entries if not entry.startswith("!"))
    kept = any(fnmatchcase(path, entry[1:]) for entry in entries if entry.startswith("!"))
    assert kept or not dropped


def test_no_clean_entry_reaches_into_what_packages_own() -> None:
    """dpkg's database, configuration and programs stay, whatever the globs expand to."""
    owned = ("/usr/bin", "/usr/lib/x86_64-linux-gnu", "/etc/ssh/sshd_config", "/var/lib/dpkg/status", "/var/log/apt")
    for entry in _entries(CLEAN):
        assert not any(fnmatchcase(path, entry) for path in owned), entry
