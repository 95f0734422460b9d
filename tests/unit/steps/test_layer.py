"""What an upperdir says, as entries. (On real mounts: tests/root/steps.)"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from pathlib import Path

import pytest

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps.layer import Entry, capture, clamped, settle, standing_alone, whiteout

TREES: tuple[tuple[str, set[str], set[str], set[str], set[str]], ...] = (
    ("nothing is opaque", {"d/a"}, {"d/b"}, set(), set()),
    ("what the folder has again stays", {"d/a"}, {"d/a", "d/b"}, {"d"}, {"d/b"}),
    ("a hidden folder is one whiteout", {"d/a"}, {"d/x/1", "d/x/2"}, {"d"}, {"d/x"}),
    ("folders that both have are looked into", {"d/s/a"}, {"d/s/a", "d/s/b", "d/t"}, {"d"}, {"d/s/b", "d/t"}),
    ("an opaque folder in an opaque one is looked at once", {"d/s/a"}, {"d/s/b"}, {"d", "d/s"}, {"d/s/b"}),
    ("a file in place of a folder hides it by itself", {"d/s"}, {"d/s/b"}, {"d"}, set()),
    ("a folder in place of a file hides it by itself", {"d/s/a"}, {"d/s"}, {"d"}, set()),
    ("what is not below is not hidden", {"d/a"}, {"e/b"}, {"d"}, set()),
    ("the whole tree may be opaque", {"a"}, {"a", "b", "c/d"}, {"."}, {"b", "c"}),
)


def _make(root: Path, files: Collection[str]) -> Path:
    root.mkdir()
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def _mark(path: Path, mark: str = "opaque", value: bytes = b"y") -> None:
    os.setxattr(path, f"user.overlay.{mark}", value)  # as in a user namespace; root's are `trusted.`


def _hide(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def _kinds(entries: Collection[Entry]) -> dict[str, str]:
    return {entry.path: entry.kind for entry in entries}


@pytest.mark.parametrize(("name", "upper", "below", "opaque", "hidden"), TREES, ids=[tree[0] for tree in TREES])
def test_whiteouts_stand_for_what_opaque_folders_hide(
    tmp_path: Path, name: str, upper: set[str], below: set[str], opaque: set[str], hidden: set[str]
) -> None:
    above, under = _make(tmp_path / "upper", upper), _make(tmp_path / "below", below)
    for folder in opaque:
        _mark(above / folder)
    entries = capture(above, under)
    assert [entry for entry in entries if entry.kind == "whiteout"] == [
        entry for entry in entries if entry.path.removeprefix("/") in hidden
    ]
    assert {entry.path.removeprefix("/") for entry in entries if entry.kind == "whiteout"} == hidden


def test_linked_folder_below_is_hidden_as_a_link(tmp_path: Path) -> None:
    above, under = _make(tmp_path / "upper", {"d/s/a"}), _make(tmp_path / "below", {"d/real/b"})
    (under / "d/s").symlink_to("real")
    (under / "d/gone").symlink_to("nowhere")
    _mark(above / "d")
    hidden = {path for path, kind in _kinds(capture(above, under)).items() if kind == "whiteout"}
    assert hidden == {"/d/real", "/d/gone"}


def test_whiteout_that_hides_nothing_is_left_out(tmp_path: Path) -> None:
    above, under = _make(tmp_path / "upper", {"new/a", "d/a"}), _make(tmp_path / "below", {"d/b", "file"})
    for name in ("new/x", "d/b", "d/c", "file"):
        _hide(above / name)
    hidden = {path for path, kind in _kinds(capture(above, under)).items() if kind == "whiteout"}
    assert hidden == {"/d/b", "/file"}


def test_socket_is_left_out_and_what_it_replaced_stays_hidden(tmp_path: Path) -> None:
    above, under = _make(tmp_path / "upper", {"file"}), _make(tmp_path / "below", {"replaced"})
    for name in ("new", "replaced"):
        os.mknod(above / name, stat.S_IFSOCK)
    assert _kinds(capture(above, under)) == {"/": "folder", "/file": "file", "/replaced": "whiteout"}


def test_settled_layer_says_the_same_without_knowing_what_is_below(tmp_path: Path) -> None:
    above = _make(tmp_path / "upper", {"d/a", "d/s/a", "new/a", "linked"})
    under = _make(tmp_path / "below", {"d/b", "d/s/b", "socket"})
    os.link(above / "linked", above / "d/linked")
    (above / "link").symlink_to("d")
    os.mknod(above / "socket", stat.S_IFSOCK)
    _hide(above / "new/nothing")
    for name in ("d", "new", "."):
        _mark(above / name, "origin", b"x")
    _mark(above / "d")
    entries = capture(above, under)
    with pytest.raises(ImagebuilderError, match="replaces a folder of the layers below, and these are not known"):
        capture(above)
    settle(above, entries)
    assert capture(above) == entries
    assert not [path for path in (above, *above.rglob("*")) if os.listxattr(path, follow_symlinks=False)]
    assert (above / "d/linked").samefile(above / "linked")


@pytest.mark.parametrize("mark", ["redirect", "metacopy"])
def test_reference_to_another_path_is_refused(tmp_path: Path, mark: str) -> None:
    above = _make(tmp_path / "upper", {"d/a"})
    _mark(above / "d", mark, b"/other")
    with pytest.raises(ImagebuilderError, match="/d exists only as a reference"):
        capture(above, tmp_path)


def test_attributes_are_read_and_the_kernels_own_are_not(tmp_path: Path) -> None:
    above = _make(tmp_path / "upper", {"d/a"})
    for path in (above / "d", above / "d/a"):
        os.setxattr(path, "user.note", b"\0value")
        _mark(path, "origin", b"x")
    assert [entry.xattrs for entry in capture(above)] == [(), *([(("user.note", b"\0value"),)] * 2)]


def test_times_are_clamped(tmp_path: Path) -> None:
    above = _make(tmp_path / "upper", {"old", "new"})
    os.utime(above / "old", (5, 5))
    assert [entry.member.mtime for entry in clamped(capture(above), 7)] == [7, 7, 5]


def test_entries_that_stand_alone_have_their_folders_and_all_names_of_their_file(tmp_path: Path) -> None:
    above = _make(tmp_path / "upper", {"d/e/a", "d/e/other", "f/g", "x"})
    os.link(above / "d/e/a", above / "f/a")
    entries = capture(above)
    (chosen,) = (entry for entry in entries if entry.name == b"d/e/a")
    assert [e.path for e in standing_alone(entries, [chosen])] == ["/", "/d", "/d/e", "/d/e/a", "/f", "/f/a"]
    assert [e.path for e in standing_alone(entries, [])] == ["/"]


def test_entry_knows_what_it_is() -> None:
    assert (whiteout(b"etc/x").kind, whiteout(b"etc/x").path) == ("whiteout", "/etc/x")
