"""`imagebuilder lock` as far as it needs no mirror, and `build` on a lock that does not fit: statuses and words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from image_tree import BASE, OVERLAY, write_tree
from imagebuilder.cli.main import main
from imagebuilder.plan.lock import lock_of
from imagebuilder.resolve.lock import text_of
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Resolution
from imagebuilder.resolve.sources import published
from imagebuilder.spec.tree import load_tree

FILES = {
    "all.yml": BASE,
    "own.yml": BASE + OVERLAY,
    "vars/base.yml": "image: {packages: [less]}",
    "vars/x.yml": "image:\n  files:\n    - {src: motd, dest: /etc/motd}\n",
    "motd": "m",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree whose playbook own.yml is locked."""
    tree = load_tree(write_tree(tmp_path, FILES) / "own.yml", {})
    images = {image.name: ImagePackages() for image in tree.images}
    resolution = Resolution(published(tree.settings), Kernel("6", ()), images, (), {}, 5)
    write_tree(tmp_path, {"imagebuilder.lock": text_of(lock_of(tree, resolution, {}))})
    return tmp_path


def test_lock_that_fits_is_found_by_its_own_playbook(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lock", "--check", str(root)]) == 0
    assert main(["lock", "--check", "--json", str(root / "own.yml")]) == 0
    assert capsys.readouterr().out == "[]\n"


def test_check_lists_what_changed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(root, {"motd": "n"})
    assert main(["lock", "--check", str(root)]) == 1
    assert capsys.readouterr().out == f"{root}/vars/x.yml:3: `files`: `motd` changed\n"
    assert main(["lock", "--check", "--json", str(root)]) == 1
    assert json.loads(capsys.readouterr().out) == [
        {"file": f"{root}/vars/x.yml", "line": 3, "key": "files", "text": "`motd` changed"}
    ]


def test_lock_whose_files_changed_is_renewed_without_a_mirror(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(root, {"motd": "n"})
    assert main(["lock", str(root), "--cache", str(root / "no-cache")]) == 0
    assert capsys.readouterr().out == ""
    assert main(["lock", "--check", str(root)]) == 0
    assert not (root / "no-cache").exists()


CHECKS: tuple[tuple[list[str], bool, int, str], ...] = (
    (["all.yml"], True, 2, "imagebuilder.lock is that of `own.yml`, not of `all.yml`"),
    (["own.yml"], False, 1, "has no imagebuilder.lock\nhint: `imagebuilder lock` makes it"),
)


@pytest.mark.parametrize(("playbook", "is_there", "status", "said"), CHECKS)
def test_check_of_nothing_is_no_success(
    root: Path, playbook: list[str], is_there: bool, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if not is_there:
        (root / "imagebuilder.lock").unlink()
    assert main(["lock", "--check", *(str(root / name) for name in playbook)]) == status
    assert said in capsys.readouterr().err


BUILDS: tuple[tuple[dict[str, str], list[str], str], ...] = (
    (
        {"motd": "n"},
        ["own.yml"],
        "vars/x.yml:3: `files`: `motd` changed\nhint: `imagebuilder lock` brings it up to date",
    ),
    ({"imagebuilder.lock": "{"}, ["own.yml"], "imagebuilder.lock:1: this lock is damaged"),
    ({}, ["own.yml", "-e", "debootstrap_release=trixie"], "`debootstrap_release`: locked `bookworm`, now `trixie`"),
    ({}, ["own.yml", "--repin"], "`--repin` takes other versions than imagebuilder.lock does"),
    ({}, ["--lock", "--kind", "base", "--config-file", "vars/base.yml"], "`--lock` goes with a playbook"),
    (
        {"vars/y.yml": "image: {run: [a]}", "y.yml": OVERLAY.replace("x.yml", "y.yml")},
        ["y.yml"],
        "y.yml:1: `y`: is not in the lock, which is that of `own.yml`",
    ),
)


@pytest.mark.parametrize(("files", "arguments", "said"), BUILDS)
def test_build_on_a_lock_that_does_not_fit_is_refused_before_anything(
    root: Path,
    files: dict[str, str],
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_tree(root, {"builds/base.bookworm.6.squashfs.img": "", **files})
    monkeypatch.chdir(root)
    assert main(["build", *arguments, "-e", "build_artifact_path=builds"]) == 2
    assert said in capsys.readouterr().err
