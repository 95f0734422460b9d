"""`imagebuilder check` on files and on images of a store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from imagebuilder.engine.keeping import FOOTING, attach_footings
from imagebuilder.steps.footing import footing_of
from imagebuilder.steps.sidecar import Known, add
from imagebuilder.steps.view import view_of
from imagebuilder.store.index import change_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import BASE, EMPTY, OVERLAYS, Layer, Manifest
from layers import layer, status, write_base, write_overlay

OLD = layer({"/etc/motd": "a", "/etc/x": "x", "/var/lib/dpkg/status": status(libc6="1")})
NEW = layer({"/etc/motd": "b", "/etc/x": "x", "/var/lib/dpkg/status": status(libc6="2")})
HARMLESS = layer({"/etc/x": "mine"})
SHADOWING = layer({"/etc/motd": "mine"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two bases and two overlays."""
    write_base(tmp_path / "old.img", OLD)
    write_base(tmp_path / "new.img", NEW)
    write_overlay(tmp_path / "harmless.gz", HARMLESS)
    write_overlay(tmp_path / "shadowing.gz", SHADOWING)
    return tmp_path


def _check(folder: Path, *arguments: str) -> int:
    given = [str(folder / word) if "." in word else word for word in arguments]
    return main(["check", *given, "--store", str(folder / "store")])


def test_table_of_what_stands_against_overlays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(folder, "harmless.gz", "--base", "new.img", "--made-on", "old.img") == 0
    assert _check(folder, "harmless.gz", "shadowing.gz", "--base", "new.img", "--made-on", "old.img") == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [["OVERLAY", "VERDICT"], ["harmless.gz", "fits"]]
    assert lines[-1] == ["shadowing.gz", "path", "/etc/motd", "changed", "below:", "content"]


@pytest.mark.parametrize("below", [["users.img"], ["old.img", "other.gz"]])
def test_users_with_one_id_are_told_before_a_node_boots(
    folder: Path, below: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_base(folder / "users.img", layer({"/etc/passwd": "other:x:400\n"}))
    for name in ("mine", "other"):
        line = f"{name}:x:400\n"
        known = Known({"1/lines/etc/passwd": f"={line}".encode()}, frozenset())
        members = add(layer({"/etc/passwd": line}), known, "cpio.gz", 0, folder)
        write_overlay(folder / f"{name}.gz", members)
    assert _check(folder, "mine.gz", "--base", *below, "--made-on", "old.img") == 1
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["mine.gz", "account", "conflicts"]
    assert lines[-2][:2] == ["mine.gz", "account"]
    assert "`other` below, `mine` in the overlay" in lines[-2][2]


def test_base_of_a_file_that_the_store_does_not_know_must_be_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _check(folder, "harmless.gz", "--base", "new.img") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "nobody knows on which base harmless.gz was made" in said.err
    assert "--made-on" in said.err


def test_image_of_the_store_brings_what_it_stands_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout = Layout(folder / "store")
    layout.prepare()
    layout.put(EMPTY)
    overlay = layout.put((folder / "shadowing.gz").read_bytes())
    base = layout.put((folder / "old.img").read_bytes())
    parts = (Layer(BASE, "base.img", base), Layer(OVERLAYS["cpio.gz"], "x.gz", overlay))
    manifest = layout.put(Manifest(parts, "2024-06-03T00:00:00Z").to_bytes())
    change_index(layout, lambda index: index.moved("x:latest", manifest))
    footing = footing_of((base.sha256,), view_of(SHADOWING), view_of(OLD))
    attach_footings(layout, {"x:latest": manifest}, {"x.gz": layout.put(footing.to_json().encode())})

    assert _check(folder, "x", "--base", "x") == 0
    capsys.readouterr()
    assert _check(folder, "x", "shadowing.gz", "--base", "new.img", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert said["fits"] is False
    assert [(one["overlay"], one["verdict"]) for one in said["overlays"]] == [
        ("x.gz", "shadows changed files"),
        ("shadowing.gz", "shadows changed files"),
    ]
    assert FOOTING in layout.index.read_text()


def test_overlay_made_by_hand_says_itself_what_it_stands_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    footing = footing_of(("0",), view_of(SHADOWING), view_of(OLD)).to_json().encode()
    for name, said in (("by-hand", footing), ("damaged", footing[:-9]), ("strange", b'{"on": [], "packages": [[]]}')):
        members = add(SHADOWING, Known({}, frozenset(), said), "cpio.gz", 0, folder)
        write_overlay(folder / f"{name}.gz", members)
    assert _check(folder, "by-hand.gz", "--base", "old.img") == 0
    assert _check(folder, "by-hand.gz", "--base", "new.img") == 1
    for name in ("damaged", "strange"):
        assert _check(folder, f"{name}.gz", "--base", "old.img") == 2
        assert f"nobody knows on which base {name}.gz was made" in capsys.readouterr().err


@pytest.mark.parametrize("base", ["nothing", "nothing.img", "harmless.gz/x"])
def test_base_that_is_not_there_is_the_users_error(folder: Path, base: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(folder, "harmless.gz", "--base", base) == 2
    assert capsys.readouterr().out == ""
