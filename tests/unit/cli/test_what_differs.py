"""What `diff`, `sbom` and `verify-reproducible` print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagebuilder.cli import diff, verify_reproducible
from imagebuilder.cli.main import main
from imagebuilder.engine.difference import Change, FileChange, LayerDifference
from imagebuilder.engine.layer_difference import PathDifference
from imagebuilder.engine.reproduction import Unequal, Verdict
from layers import layer, status, write_base, write_overlay

DIFFERENCES = (
    (LayerDifference("a", "a", equal=True, changes=()), ["a: equal"]),
    (LayerDifference("a", "b", equal=False, changes=()), ["a -> b: differs, with the same packages"]),
    (LayerDifference("a", "", equal=False, changes=None), ["a: only in A; the store does not know its packages"]),
    (
        LayerDifference("", "b", equal=False, changes=(Change("x", "", "2"),)),
        ["b: only in B", "  + x 2"],
    ),
    (
        LayerDifference("a", "a", equal=False, changes=(Change("x", "1", ""), Change("y", "1", "2"))),
        ["a: differs", "  - x 1", "  ~ y 1 -> 2"],
    ),
    (
        LayerDifference("a", "a", equal=False, changes=(), files=(FileChange("/x", "", "folder 0755 0:0"),) * 3),
        ["a: differs, with the same packages", "  + /x", "  + /x", "  and 1 more files (`--all` names them)"],
    ),
)


@pytest.mark.parametrize(("difference", "lines"), DIFFERENCES)
def test_difference_of_a_layer_in_lines(difference: LayerDifference, lines: list[str]) -> None:
    assert list(diff._lines(difference, 2)) == lines


def test_two_artifact_folders_without_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "same").write_text("same")
        (tmp_path / name / "x.overlay.cpio.gz").write_text(name)
    argv = ["diff", str(tmp_path / "one"), str(tmp_path / "two"), "--store", str(tmp_path / "store")]
    assert main(argv) == 0
    assert capsys.readouterr().out.splitlines() == [
        "same: equal",
        "x.overlay.cpio.gz: differs; the store does not know its packages",
    ]
    assert main([*argv, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"] is False
    assert not (tmp_path / "store").exists()


def test_two_files_are_compared_path_by_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = layer({"/a": "a", "/b": "b", "/same": "same", "/gone": "x"}, {"/l": "a"})
    after = layer({"/a": "A", "/b": None, "/same": "same", "/new/x": "x"}, {"/l": "b"})
    old, new = write_overlay(tmp_path / "old.gz", before), write_overlay(tmp_path / "new.gz", after)
    assert main(["diff", str(old), str(new), "--store", str(tmp_path / "store")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "old.gz -> new.gz: differs; the store does not know its packages",
        "  ~ /a: content",
        "  ~ /b: file -> whiteout",
        "  - /gone",
        "  ~ /l: target a -> b",
        "  + /new",
        "  + /new/x",
    ]


def test_packages_are_those_of_the_database_where_the_store_knows_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [
        str(write_base(tmp_path / name, layer({"/var/lib/dpkg/status": status(**versions)})))
        for name, versions in (("old", {"a": "1", "b": "1"}), ("new", {"a": "2", "c": "1"}))
    ]
    assert main(["diff", *paths, "--store", str(tmp_path / "store")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "old -> new: differs",
        "  ~ a 1 -> 2",
        "  - b 1",
        "  + c 1",
        "  ~ /var/lib/dpkg/status: content",
    ]


@pytest.mark.parametrize("verb", [["sbom", "none"], ["diff", "none", "none"]])
def test_name_that_is_not_in_the_store_is_the_users_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    assert main([*verb, "--store", str(tmp_path)]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.splitlines()[1]) == ("", "hint: it has: nothing yet")


def _verdict(paths: tuple[PathDifference, ...] | None) -> Verdict:
    return Verdict(4, (Unequal("x: pack", "a" * 64, "b" * 64, paths),), ("x:latest",))


PATH = PathDifference("/etc/x", 1, ("mode 0644, then 0600", "content"), ("-one", "+two"), step="x: provision")
VERDICTS = (
    (Verdict(4, (), ()), ["reproducible: all 4 artifacts, lists and manifests are the same"]),
    (_verdict(()), ["  all files that it packs are the same: it is the packing that differs"]),
    (
        _verdict(None),
        ["  the folders that it packed are gone from the first build's cache: verify with another `--cache`"],
    ),
    (
        _verdict((PATH,)),
        ["  /etc/x, made by `x: provision`: mode 0644, then 0600; content", "    -one", "    +two"],
    ),
)


@pytest.mark.parametrize(("verdict", "lines"), VERDICTS)
def test_verdict_in_lines(verdict: Verdict, lines: list[str]) -> None:
    shown = list(verify_reproducible._lines(verdict))
    if verdict.steps:
        assert shown[0] == "x: pack: sha256 aaaaaaaaaaaa, then bbbbbbbbbbbb"
        assert shown[-1] == "other manifests: x:latest"
        shown = shown[1:-1]
    assert shown == lines


def test_many_files_are_counted() -> None:
    shown = list(verify_reproducible._lines(_verdict((PATH,) * 25)))
    assert "  and 5 more (`--json` names them)" in shown
