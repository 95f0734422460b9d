"""Layers as what is at each path, alone and on one another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagebuilder.steps.layer import capture
from imagebuilder.steps.view import folders_above, stacked, view_of, ways
from layers import layer, stanza, status

FILE = "file 0644 0:0 ab"
WAYS = (
    (FILE, FILE, ()),
    (FILE, "file 0600 0:0 ab", ("mode 0644 -> 0600",)),
    (FILE, "file 0644 0:5 cd", ("owner 0:0 -> 0:5", "content")),
    (FILE, "file 0644 0:0 ab security.capability=00", ("attributes",)),
    (FILE, "folder 0755 0:0", ("file -> folder",)),
    ("folder 0755 0:0", "folder 0755 0:0 user.x=00", ("attributes",)),
    ("device 0600 0:0 8:0", "device 0600 0:0 8:1", ("number 8:0 -> 8:1",)),
    ("symlink 0:0 -> a b", "symlink 0:0 -> a  b", ("target a b -> a  b",)),
    ("whiteout", "whiteout", ()),
)


@pytest.mark.parametrize(("old", "new", "expected"), WAYS)
def test_ways_in_which_a_path_differs(old: str, new: str, expected: tuple[str, ...]) -> None:
    assert ways(old, new) == expected


def test_layers_on_one_another_hide_what_they_hide() -> None:
    bottom = layer({"/d/a": "a", "/d/b": "b", "/e/f": "f", "/g/h": "h", "/kept": "k"})
    top = layer({"/d/a": None, "/d/c": "c", "/e": "a file", "/i": None}, {"/g": "d"})
    seen = stacked([view_of(bottom), view_of(top)]).paths
    assert sorted(seen) == ["/", "/d", "/d/b", "/d/c", "/e", "/g", "/kept"]
    assert seen["/g"] == "symlink 0:0 -> d"


def test_folder_in_place_of_a_file_and_a_hidden_folder_below() -> None:
    bottom = layer({"/a": "a", "/x/y/z": "z"})
    assert sorted(stacked([view_of(bottom), view_of(layer({"/a/b": "b", "/x": None}))]).paths) == ["/", "/a", "/a/b"]


def test_packages_are_those_of_the_uppermost_database() -> None:
    half = "Package: half\nStatus: install ok unpacked\nArchitecture: amd64\nVersion: 1\n\n"
    text = status(a="1") + stanza("b", "2", Depends="a (>= 1)") + half
    below, above = view_of(layer({"/var/lib/dpkg/status": text})), view_of(layer({"/x": "x"}))
    assert above.packages is None
    assert stacked([below, above]).versions() == {("a", "amd64"): "1", ("b", "amd64"): "2"}
    assert [fields.get("Depends") for fields in below.packages or ()] == [None, "a (>= 1)"]


def test_packages_and_accounts_of_layers_that_were_made_apart_are_those_of_all() -> None:
    base = view_of(layer({"/var/lib/dpkg/status": status(a="1", old="1"), "/etc/passwd": "r:x:0\n"}))
    one, two = (
        view_of(
            layer({"/var/lib/dpkg/status": "a whole copy", "/etc/passwd": "a whole copy"}),
            {"1/stanzas/var/lib/dpkg/status": said.encode(), "1/lines/etc/passwd": f"={user}\n".encode()},
        )
        for said, user in ((stanza("b", "2"), "u:x:1"), (f"-old amd64\n\n<a amd64 1\n\n{stanza('a', '3')}", "v:x:2"))
    )
    seen = stacked([base, one, two])
    assert seen.versions() == {("a", "amd64"): "3", ("b", "amd64"): "2"}
    accounts = {place: said for place, said in seen.changes.items() if place.endswith("passwd")}
    lists = (b"=r:x:0\n", b"=u:x:1\n", b"=v:x:2\n")
    assert accounts == {f"{turn}/lines/etc/passwd": said for turn, said in enumerate(lists, start=1)}


def test_folders_above_a_path() -> None:
    assert folders_above("/usr/share/doc") == ["/usr", "/usr/share"]


def test_view_of_some_paths_knows_the_content_of_a_file_by_each_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.link(tmp_path / "a", tmp_path / "b")
    entries = capture(tmp_path)
    whole = view_of(entries).paths
    assert whole["/a"] == whole["/b"]
    assert view_of(entries, only={"/a", "/nothing"}).paths == {"/a": whole["/a"]}
