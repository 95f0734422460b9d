"""`ansible-playbook` in an image tree: each entry calls the program once, with all that the user gave."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import ansible
import pytest

from imagebuilder import resources

PROGRAMS = Path(sys.executable).parent
ENTRY = """\
- import_playbook: common/overlay_wrapper.yml
  vars:
    config_file: {config_file}
{more}"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the default tree; a build in it would work below a folder of the test's own."""
    tree = tmp_path / "images"
    shutil.copytree(resources.folder("images"), tree, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "vars/broken.yml").write_text("image: {packages: [less], nonsense: 1}\n")
    (tree / "vars/asks.yml").write_text("provisioner: roles/{{ which }}\n")
    return tree


def _play(
    tree: Path, *options: str, config_file: str = "vars/broken.yml", more: str = ""
) -> subprocess.CompletedProcess[str]:
    (tree / "test.yml").write_text(ENTRY.format(config_file=config_file, more=more))
    return subprocess.run(
        [PROGRAMS / "ansible-playbook", *options, "test.yml"],
        cwd=tree,
        env={"PATH": os.defpath, "HOME": str(tree.parent), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def _unfolded(done: subprocess.CompletedProcess[str]) -> str:
    """The output without the line breaks of YAML."""
    return " ".join(done.stdout.split())


def test_an_error_of_the_build_is_shown_in_its_own_words(tree: Path) -> None:
    done = _play(tree)
    assert done.returncode != 0
    assert f"msg: '{tree}/vars/broken.yml:1: unknown key `nonsense`" in _unfolded(done)
    assert '{"' not in done.stdout + done.stderr


def test_an_image_is_built_once_however_many_build_roots_there_are(tree: Path) -> None:
    hosts = (tree / "hosts").read_text()
    assert "/run/on-imagebuilder/overlay\n" in hosts
    (tree / "hosts").write_text(hosts.replace("/overlay\n", "/overlay\n/srv/one ansible_connection=chroot\n/srv/two\n"))
    done = _play(tree, "--inventory", "hosts")
    assert done.stdout.count("fatal: ") == 1
    assert "unknown key `nonsense`" in done.stdout


def test_a_tree_without_an_inventory_builds_too(tree: Path) -> None:
    (tree / "hosts").unlink()
    assert "unknown key `nonsense`" in _play(tree).stdout


def test_limiting_the_run_to_other_images_builds_none(tree: Path) -> None:
    done = _play(tree, "--limit", "initrd_build_chroot")
    assert done.returncode == 0
    assert "nonsense" not in done.stdout


def test_checking_a_playbook_builds_nothing(tree: Path) -> None:
    done = _play(tree, "--check")
    assert done.returncode == 0
    assert "skipped=1" in done.stdout


VARIABLES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    ("none", (), "", "'which' is undefined"),
    ("-e", ("-e", "which=of-e"), "", "`roles/of-e` is not a role"),
    ("-e as JSON", ("-e", '{"which": "of-json"}'), "", "`roles/of-json` is not a role"),
    ("-e of a file", ("-e", "@given.yml"), "", "`roles/of-a-file` is not a role"),
    ("the entry", (), "    which: of-entry\n", "`roles/of-entry` is not a role"),
    ("the entry, of another", (), "    which: '{{ inner }}'\n    inner: deep\n", "`roles/deep` is not a role"),
    ("-e above the entry", ("-e", "which=of-e"), "    which: of-entry\n", "`roles/of-e` is not a role"),
    ("the entry's provisioner", (), "    provisioner: roles/own\n", "`roles/own` is not a role"),
)


@pytest.mark.parametrize(("options", "more", "expected"), [c[1:] for c in VARIABLES], ids=[c[0] for c in VARIABLES])
def test_variables_reach_the_build(tree: Path, options: tuple[str, ...], more: str, expected: str) -> None:
    (tree / "given.yml").write_text("which: of-a-file\n")
    done = _play(tree, *options, config_file="vars/asks.yml", more=more)
    assert expected in _unfolded(done)


def test_program_that_is_not_installed_is_named(tree: Path, tmp_path: Path) -> None:
    """Ansible from elsewhere: the same files, started by an interpreter beside which there is no `imagebuilder`."""
    (tree / "test.yml").write_text(ENTRY.format(config_file="vars/broken.yml", more=""))
    done = subprocess.run(
        [sys._base_executable, "-m", "ansible", "playbook", "test.yml"],  # type: ignore[attr-defined]
        cwd=tree,
        env={"PATH": os.defpath, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "PYTHONPATH": _site_packages()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "the program `imagebuilder` is neither beside this ansible-playbook nor on PATH" in done.stdout


def _site_packages() -> str:
    return str(Path(ansible.__file__).parents[1])
