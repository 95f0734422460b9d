"""`imagebuilder init` gives a tree that can be read, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from imagebuilder.spec.tree import load_tree


@pytest.mark.parametrize("exists", [False, True])
def test_new_tree_reads_as_the_default_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], exists: bool) -> None:
    folder = tmp_path / "deep" / "my images"
    if exists:
        folder.mkdir(parents=True)
    assert main(["init", str(folder)]) == 0
    assert f"sudo imagebuilder build '{folder}/all.yml'" in capsys.readouterr().out
    tree = load_tree(folder / "all.yml", {})
    assert tree.settings.artifact_folder == tmp_path / "deep" / "builds"
    assert {"initrd", "base", "overlay"} <= {image.kind for image in tree.images}


@pytest.mark.parametrize("kind", ["file", "full"])
def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    target = tmp_path / "target"
    if kind == "full":
        target.mkdir()
        (target / "mine").write_text("mine")
    else:
        target.write_text("mine")
    assert main(["init", str(target)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert f"error: `{target}` exists and is not an empty folder" in said.err
    assert [path.name for path in tmp_path.rglob("*")] == (["target", "mine"] if kind == "full" else ["target"])


def test_folder_that_cannot_be_made_is_an_error_not_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["init", str(tmp_path / "file" / "new")]) == 1
    assert capsys.readouterr().err.startswith("error: Not a directory (")
