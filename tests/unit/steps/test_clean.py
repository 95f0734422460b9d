"""Cleaning removes what its patterns name in the root, and never anything outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagebuilder.steps.clean import Clean
from machine import PlainMachine, PlainRoot

FILES = (
    "etc/passwd",
    "etc/passwd-",
    "tmp/.hidden",
    "tmp/folder/file",
    "usr/lib/python3/a/__pycache__/x.pyc",
    "usr/lib/python3/a/b/__pycache__/y.pyc",
    "usr/lib/python3/a/b/c.py",
    "var/log/a.log",
    "var/log/apt/term.log",
    "var/log/keep.txt",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "root"


def _clean(root: Path, *paths: str) -> None:
    Clean(paths).run(PlainMachine(root.parent), PlainRoot(root))


def _left(root: Path) -> set[str]:
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_symlink() or not p.is_dir()}


PATTERNS: tuple[tuple[str, set[str]], ...] = (
    ("/etc/passwd-", {"etc/passwd-"}),
    ("/etc/absent", set()),
    ("/absent/deep/*", set()),
    ("/tmp/*", {"tmp/.hidden", "tmp/folder/file"}),
    ("/tmp/folder", {"tmp/folder/file"}),
    ("/tmp/folder/", {"tmp/folder/file"}),
    ("/tmp/f?lder/[a-f]ile", {"tmp/folder/file"}),
    ("/var/log/*.log", {"var/log/a.log"}),
    ("/var/*/apt", {"var/log/apt/term.log"}),
    ("/usr/lib/python3*/**/__pycache__", {name for name in FILES if "__pycache__" in name}),
)


@pytest.mark.parametrize(("pattern", "gone"), PATTERNS)
def test_pattern_removes_what_it_names(root: Path, pattern: str, gone: set[str]) -> None:
    _clean(root, pattern)
    assert _left(root) == {*FILES} - gone


def test_star_at_the_end_keeps_the_folder(root: Path) -> None:
    _clean(root, "/tmp/*", "/var/log/apt")
    assert (root / "tmp").is_dir()
    assert not (root / "var/log/apt").exists()


def test_link_is_removed_and_what_it_names_stays(root: Path) -> None:
    (root / "etc/link").symlink_to("/etc/passwd")
    (root / "etc/folder").symlink_to("../tmp")
    (root / "etc/dangling").symlink_to("nowhere")
    _clean(root, "/etc/link", "/etc/folder", "/etc/dangl*")
    assert _left(root) == {*FILES}


@pytest.mark.parametrize("target", ["/run/lists", "../../../../../../../run/lists", "//run/lists"])
def test_linked_folder_in_front_is_the_roots_own(root: Path, target: str) -> None:
    (root / "run/lists").mkdir(parents=True)
    (root / "run/lists/index").touch()
    (root / "var/lists").symlink_to(target)
    _clean(root, "/var/lists/*")
    assert _left(root) == {*FILES, "var/lists"}


@pytest.mark.parametrize("pattern", ["/usr/*/secret", "/usr/l*/secret", "/usr/**/secret", "/u*/lib/link/*", "/*/*/*/*"])
def test_nothing_behind_a_link_is_removed(root: Path, tmp_path: Path, pattern: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").touch()
    (root / "usr/link").symlink_to(outside)
    (root / "usr/lib/link").symlink_to(os.path.relpath(outside, root / "usr/lib"))
    _clean(root, pattern)
    assert (outside / "secret").exists()
