"""`imagebuilder store`: what it prints and how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.cli.main import main
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import Layer
from imagebuilder.store.referrers import attach
from stores import SPDX, add_image, damage


class Store:
    """A store, and the program that looks after it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.layout = Layout(folder / "cache/store")
        self.layout.prepare()
        self._capsys = capsys
        self._options = ["--cache", str(folder / "cache")]
        self.said = ""

    def run(self, *argv: str, status: int = 0) -> str:
        """Run an action; returns its standard output."""
        assert main(["store", *argv, *self._options]) == status
        out, self.said = self._capsys.readouterr()
        return out

    def json(self, *argv: str, status: int = 0) -> Any:
        return json.loads(self.run(*argv, "--json", status=status))


@pytest.fixture
def store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Store:
    return Store(tmp_path, capsys)


def test_names_are_listed_with_what_is_shared(store: Store) -> None:
    manifest = add_image(store.layout, "extra:latest", "overlay")
    add_image(store.layout, "other:latest", "another one")
    lines = store.run("ls").splitlines()
    assert lines[0].split() == ["NAME", "DIGEST", "LAYERS", "SIZE", "OWN"]
    assert lines[1].split() == ["extra:latest", manifest.sha256[:12], "4", "23", "B", "7", "B"]
    assert "8 blobs" in store.said
    names = store.json("ls")["names"]
    assert [(entry["name"], entry["own"], len(entry["layers"])) for entry in names] == [
        ("extra:latest", 7, 4),
        ("other:latest", 11, 4),
    ]


def test_store_that_is_not_there_is_empty(store: Store, tmp_path: Path) -> None:
    assert main(["store", "ls", "--cache", str(tmp_path / "nowhere")]) == 0
    assert not (tmp_path / "nowhere").exists()


def test_one_image_is_shown_with_all_there_is_to_it(store: Store) -> None:
    old = add_image(store.layout, "extra:latest", "old")
    new = add_image(store.layout, "extra:latest", "new")
    attach(store.layout, new, SPDX, [Layer(SPDX, "base.spdx.json", store.layout.put(b"list"))])
    text = store.run("show", "extra")
    assert new.digest in text
    assert f"before: {old.sha256[:12]}" in text
    assert [line.split()[0] for line in text.splitlines()[2:8]] == ["KIND", "kernel", "initrd", "base", "overlay", SPDX]
    value = store.json("show", "extra")
    assert value["before"] == [old.digest]
    assert value["attached"][0]["files"][0]["title"] == "base.spdx.json"


def test_channel_is_made_moved_and_taken_away(store: Store) -> None:
    manifest = add_image(store.layout, "extra:latest", "overlay")
    assert store.run("tag", "extra", "stable") == f"extra:stable {manifest.digest}\n"
    add_image(store.layout, "extra:latest", "newer")
    assert read_index(store.layout).names["extra:stable"] == manifest
    store.run("tag", "extra:stable", "canary")
    assert read_index(store.layout).names["extra:canary"] == manifest
    assert store.json("tag", "extra", "stable", "--delete") == {"name": "extra:stable", "digest": None}
    assert set(read_index(store.layout).names) == {"extra:latest", "extra:canary"}


def test_name_goes_back(store: Store) -> None:
    first = add_image(store.layout, "extra:latest", "a")
    add_image(store.layout, "extra:latest", "b")
    assert store.json("rollback", "extra") == {"name": "extra:latest", "digest": first.digest}


WRONG = (
    ("show", "nothing"),
    ("tag", "nothing", "stable"),
    ("tag", "extra", "nothing", "--delete"),
    ("tag", "extra", "no tag"),
    ("rollback", "extra"),
    ("rollback", "extra:"),
)


@pytest.mark.parametrize("argv", WRONG)
def test_unknown_names_are_the_users_mistake_and_change_nothing(store: Store, argv: tuple[str, ...]) -> None:
    add_image(store.layout, "extra:latest", "a")
    before = store.layout.index.read_text()
    assert store.run(*argv, status=2) == ""
    assert "error: " in store.said
    assert "hint: " in store.said
    assert store.layout.index.read_text() == before


def test_whole_store_is_told_to_be_well(store: Store) -> None:
    add_image(store.layout, "extra:latest", "a")
    assert "all is well, 6 blobs" in store.run("verify")
    assert store.json("verify") == {"ok": True, "faults": []}


def test_damage_is_a_table_and_exit_status_1(store: Store) -> None:
    add_image(store.layout, "extra:latest", "overlay")
    blob = store.layout.put(b"overlay")
    damage(store.layout, blob)
    lines = store.run("verify", status=1).splitlines()
    assert lines[1].split() == ["damaged", blob.digest, "set", "aside", "extra:latest"]
    assert store.json("verify", status=1)["faults"][0]["what"] == "missing"


def test_garbage_is_told_in_kinds_and_removed_unless_the_run_is_dry(store: Store) -> None:
    for overlay in "abc":
        add_image(store.layout, "extra:latest", overlay)
    assert store.run("gc") == ""
    assert "freed 0 B" in store.said
    dry = store.json("gc", "--keep", "1", "--dry-run")
    assert (dry["dry_run"], [removal["kind"] for removal in dry["removed"]]) == (True, ["blob", "blob"])
    text = store.run("gc", "--keep", "1")
    assert text.splitlines()[1].split()[:2] == ["blob", "2"]
    assert "freed" in store.said
    assert len(read_index(store.layout).past) == 1


def test_gc_refuses_while_somebody_builds(store: Store) -> None:
    with store.layout.used():
        store.run("gc", status=1)
    assert "somebody builds" in store.said


def test_number_of_builds_to_keep_is_a_number(store: Store) -> None:
    with pytest.raises(SystemExit) as caught:
        store.run("gc", "--keep", "-1")
    assert caught.value.code == 2
