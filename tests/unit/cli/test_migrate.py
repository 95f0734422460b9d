"""`imagebuilder migrate` writes a tree that can be read, says what it changed, and overwrites nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from image_tree import write_tree
from imagebuilder.cli.main import main
from imagebuilder.spec.tree import load_tree

OLD = {
    "all.yml": "- include: common/overlay_wrapper.yml\n  vars: [config_file: vars/x.yml]\n",
    "vars/x.yml": "# mine\nprovisioner: roles/r\n\n# kept\nown: 1\n",
    "roles/r/tasks/main.yml": "# kept as it is\n- copy:  {src: a,   dest: /a}\n\n# a user\n- command: b\n  sudo: yes\n",
    "roles/r/files/a": "a",
}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    write_tree(tmp_path / "old", OLD)
    (tmp_path / "old/roles/r/files/a").chmod(0o755)
    return tmp_path / "old"


def test_new_tree_is_read_without_a_word(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = tmp_path / "new"
    assert main(["migrate", str(old), str(new)]) == 0
    said = capsys.readouterr().out
    assert "roles/r/tasks/main.yml:6: `sudo:`; today `become:`\n" in said
    assert (new / "MIGRATED.txt").read_text() == said
    tree = load_tree(new / "all.yml", {})
    assert tree.changes == ()
    assert (new / "roles/r/files/a").stat().st_mode & 0o777 == 0o755
    assert {path.name for path in (new / "common").glob("*.yml")} == {
        f"{kind}_wrapper.yml" for kind in ("initrd", "basefs", "overlay")
    }


def test_what_did_not_change_keeps_its_form(old: Path, tmp_path: Path) -> None:
    main(["migrate", str(old), str(tmp_path / "new")])
    assert (tmp_path / "new/roles/r/tasks/main.yml").read_text() == (
        "# kept as it is\n- copy:  {src: a,   dest: /a}\n\n# a user\n- command: b\n  become: true\n"
    )
    assert (tmp_path / "new/vars/x.yml").read_text() == OLD["vars/x.yml"]


def test_changes_as_json(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["migrate", "--json", str(old), str(tmp_path / "new")])
    said = json.loads(capsys.readouterr().out)
    assert said["tree"] == str(tmp_path / "new")
    assert {"file": f"{old}/roles/r/tasks/main.yml", "line": 6, "old": "`sudo:`", "new": "`become:`"} in said["changes"]


def test_nothing_is_overwritten(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate", str(old), str(old)]) == 2
    assert f"`{old}` exists and is not an empty folder" in capsys.readouterr().err


@pytest.mark.parametrize("files", [{}, {"a.yml": "- hosts: all\n"}])
def test_folder_without_images_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str]
) -> None:
    (tmp_path / "old").mkdir()
    write_tree(tmp_path / "old", files)
    assert main(["migrate", str(tmp_path / "old"), str(tmp_path / "new")]) == 2
    assert "is no image tree" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_syntax_without_a_modern_form_stops_before_anything_is_written(
    old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (old / "roles/r/tasks/more.yml").write_text("- command: a\n  only_if: b\n")
    assert main(["migrate", str(old), str(tmp_path / "new")]) == 2
    assert f"{old}/roles/r/tasks/more.yml:2: Ansible has no `only_if:` any more" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
