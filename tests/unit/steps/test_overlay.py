"""What an opaque directory hides becomes whiteouts. (On real mounts, in every format: tests/root/steps.)"""

from __future__ import annotations

import socket
import stat
from collections.abc import Collection
from pathlib import Path

import pytest

from imagebuilder.steps import cpio, overlay

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


@pytest.mark.parametrize(("name", "upper", "below", "opaque", "hidden"), TREES, ids=[tree[0] for tree in TREES])
def test_whiteouts_stand_for_what_opaque_folders_hide(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    upper: set[str],
    below: set[str],
    opaque: set[str],
    hidden: set[str],
) -> None:
    above, under = _make(tmp_path / "upper", upper), _make(tmp_path / "below", below)
    marked = {above / folder for folder in opaque}
    monkeypatch.setattr(overlay, "_attribute", lambda path, _: b"y" if Path(path) in marked else None)
    whiteouts = list(overlay._opaque_whiteouts(above, under, 7))
    assert {source.member.name.decode() for source in whiteouts} == hidden
    assert len(whiteouts) == len(hidden)
    for source in whiteouts:
        assert (source.member.mode, source.member.device, source.member.mtime) == (stat.S_IFCHR, (0, 0), 7)


def test_linked_folder_below_is_hidden_as_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    above, under = _make(tmp_path / "upper", {"d/s/a"}), _make(tmp_path / "below", {"d/real/b"})
    (under / "d/s").symlink_to("real")
    (under / "d/gone").symlink_to("nowhere")
    monkeypatch.setattr(overlay, "_attribute", lambda path, _: b"y" if Path(path) == above / "d" else None)
    names = {source.member.name for source in overlay._opaque_whiteouts(above, under, 7)}
    assert names == {b"d/real", b"d/gone"}


def test_sockets_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    kept = [source.member.name for source in overlay._without_sockets(cpio.scan(tmp_path, clamp=0))]
    assert kept == [b".", b"file"]
