"""What `diff`, `sbom` and `verify-reproducible` print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagebuilder.cli import diff, verify_reproducible
from imagebuilder.cli.main import main
from imagebuilder.engine.difference import Change, LayerDifference
from imagebuilder.engine.layer_difference import PathDifference
from imagebuilder.engine.reproduction import Unequal, Verdict

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
)


@pytest.mark.parametrize(("difference", "lines"), DIFFERENCES)
def test_difference_of_a_layer_in_lines(difference: LayerDifference, lines: list[str]) -> None:
    assert list(diff._lines(difference)) == lines


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
