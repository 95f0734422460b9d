"""One overlay out of several. (Beside the kernel's own stacking: tests/root/steps/test_merge_properties.py.)"""

from __future__ import annotations

import gzip
import io
import json
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from imagebuilder.engine.merge import merge_files
from imagebuilder.engine.unpacked import opened
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.steps import cpio, sidecar
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry, bytes_of, whiteout
from imagebuilder.steps.unpack import Unpacked

PASSWD = "1/lines/etc/passwd"
BASE = b"root:x:0\n"


def _file(name: str, text: bytes = b"x", mtime: int = 5) -> Entry:
    return Entry(Member(name.encode(), stat.S_IFREG | 0o644, mtime=mtime, size=len(text)), text)


def _folder(name: str) -> Entry:
    return Entry(Member(name.encode(), stat.S_IFDIR | 0o755))


def _overlay(path: Path, *entries: Entry, replaces: Sequence[str] = (), passwd: bytes | None = None) -> Path:
    """An overlay; `passwd` is its list of accounts."""
    changes = {} if passwd is None else {PASSWD: passwd}
    known = sidecar.Known(changes, frozenset(name.encode() for name in (".", *replaces)))
    members = sidecar.add(cpio.number([_folder("."), *entries]), known, "cpio.gz", 9, path.parent)
    archive = io.BytesIO()
    cpio.write(members, archive)
    path.write_bytes(gzip.compress(archive.getvalue(), mtime=0))
    return path


def _with_user(path: Path, name: str, number: int) -> Path:
    line = f"{name}:x:{number}\n".encode()
    return _overlay(path, _folder("etc"), _file("etc/passwd", BASE + line), passwd=b"=" + line)


def _merged(folder: Path, *paths: Path, form: str = "cpio.gz") -> Unpacked:
    merge_files(paths, form, folder / f"out.{form}", lambda _: None)
    with opened(folder / f"out.{form}") as found:
        return replace(found, entries=[replace(entry, content=bytes_of(entry)) for entry in found.entries])


def _texts(overlay: Unpacked) -> dict[str, bytes]:
    return {e.path: bytes_of(e) if e.kind == "file" else e.kind.encode() for e in overlay.entries if e.kind != "folder"}


def test_upper_one_wins_and_hides(tmp_path: Path) -> None:
    one = _overlay(tmp_path / "one", _folder("d"), _file("d/a", b"1"), _file("d/b", b"1"), _file("c"))
    two = _overlay(tmp_path / "two", _folder("d"), _file("d/a", b"2"), whiteout(b"d/b"), whiteout(b"d/c"))
    merged = _merged(tmp_path, one, two)
    # What only `one` had is gone; what the base may have stays hidden.
    assert _texts(merged) == {"/c": b"x", "/d/a": b"2", "/d/c": b"whiteout"}
    assert merged.replaces == frozenset({b"."})


def test_accounts_of_all_are_there_and_lists_follow_one_another(tmp_path: Path) -> None:
    one, two = _with_user(tmp_path / "one", "a", 300), _with_user(tmp_path / "two", "b", 301)
    three = _with_user(tmp_path / "three", "c", 302)
    merged = _merged(tmp_path, one, two)
    assert _texts(merged) == {"/etc/passwd": b"root:x:0\na:x:300\nb:x:301\n"}
    (tmp_path / "out.cpio.gz").rename(tmp_path / "both")
    whole = _merged(tmp_path, tmp_path / "both", three)
    assert _texts(whole) == {"/etc/passwd": b"root:x:0\na:x:300\nb:x:301\nc:x:302\n"}
    assert whole.changes == {
        PASSWD: b"=a:x:300\n", "2/lines/etc/passwd": b"=b:x:301\n", "3/lines/etc/passwd": b"=c:x:302\n"
    }  # fmt: skip


def test_database_that_comes_without_a_list_counts_as_it_is(tmp_path: Path) -> None:
    by_hand = _overlay(tmp_path / "by-hand", _folder("etc"), _file("etc/passwd", b"mine:x:7\n"))
    merged = _merged(tmp_path, _with_user(tmp_path / "one", "a", 300), by_hand, _with_user(tmp_path / "two", "b", 301))
    assert _texts(merged) == {"/etc/passwd": b"mine:x:7\nb:x:301\n"}
    assert merged.changes == {}


def test_same_overlays_are_the_same_bytes_in_every_format(tmp_path: Path) -> None:
    paths = (_with_user(tmp_path / "one", "a", 300), _with_user(tmp_path / "two", "b", 301))
    for form in ("cpio.gz", "cpio.zst", "squashfs"):
        found = set()
        for number in range(2):
            merge_files(paths, form, tmp_path / f"{number}.{form}", lambda _: None)
            found.add((tmp_path / f"{number}.{form}").read_bytes())
        assert len(found) == 1
        assert _texts(_merged(tmp_path, *paths, form=form)) == {"/etc/passwd": b"root:x:0\na:x:300\nb:x:301\n"}


def test_conflicts_are_all_named_and_nothing_is_written(tmp_path: Path) -> None:
    paths = (_with_user(tmp_path / "one", "a", 300), _with_user(tmp_path / "two", "b", 300))
    before = set(tmp_path.iterdir())
    with pytest.raises(ImagebuilderError, match="user id `300`: `a` in one, `b` in two") as caught:
        merge_files(paths, "cpio.gz", tmp_path / "out.cpio.gz", lambda _: None)
    assert caught.value.exit_code == 1
    assert set(tmp_path.iterdir()) == before


def test_folder_that_has_to_hide_what_nobody_knows_is_for_a_squashfs(tmp_path: Path) -> None:
    paths = (
        _overlay(tmp_path / "one", whiteout(b"d")),
        _overlay(tmp_path / "two", _folder("d"), _file("d/a"), whiteout(b"d/b")),
    )
    with pytest.raises(UserError, match=r"(?s)hide what the base has there.*\n/d$"):
        merge_files(paths, "cpio.gz", tmp_path / "out.cpio.gz", lambda _: None)
    merged = _merged(tmp_path, *paths, form="squashfs")
    assert [(e.path, e.xattrs) for e in merged.entries if e.xattrs] == [("/d", (("trusted.overlay.opaque", b"y"),))]
    assert _texts(merged) == {"/d/a": b"x"}


def test_folder_in_place_of_what_only_an_overlay_had_hides_nothing(tmp_path: Path) -> None:
    one = _overlay(tmp_path / "one", _file("d"), _file("replaced"), replaces=["replaced"])
    two = _overlay(tmp_path / "two", _folder("d"), _file("d/a"), replaces=["d"])
    merged = _merged(tmp_path, one, two)
    assert _texts(merged) == {"/d/a": b"x", "/replaced": b"x"}
    assert merged.replaces == frozenset({b".", b"replaced"})


def test_overlay_packed_by_hand_gets_the_folders_that_it_leaves_out(tmp_path: Path) -> None:
    archive = io.BytesIO()
    cpio.write([_file("./etc/x/y")], archive)
    (tmp_path / "by-hand").write_bytes(archive.getvalue())
    merged = _merged(tmp_path, tmp_path / "by-hand", _overlay(tmp_path / "one", _file("z")))
    assert [entry.path for entry in merged.entries] == ["/", "/etc", "/etc/x", "/etc/x/y", "/z"]


BAD: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda data: data[:-20], "is damaged"),
    "another file": (lambda _: b"<html>", "neither a cpio archive nor a squashfs"),
    "a cut squashfs": (lambda _: b"hsqs" + bytes(100), "is damaged"),
    "no archive inside": (lambda _: gzip.compress(b"x" * 999), "no cpio archive of the newc kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_overlay_is_refused_and_nothing_is_written(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, message = BAD[name]
    path = _overlay(tmp_path / "one", _file("a"))
    path.write_bytes(spoil(path.read_bytes()))
    before = set(tmp_path.iterdir())
    assert main(["merge", str(path), "-o", str(tmp_path / "out.cpio.gz")]) == 2
    assert message in capsys.readouterr().err
    assert set(tmp_path.iterdir()) == before


def test_list_of_changes_with_a_strange_name_is_refused(tmp_path: Path) -> None:
    folders = [_folder(f".on-imagebuilder/changes{rest}") for rest in ("", "/x")]
    entries = [*folders, _file(".on-imagebuilder/changes/x/y")]
    archive = io.BytesIO()
    cpio.write(entries, archive)
    (tmp_path / "one").write_bytes(archive.getvalue())
    with pytest.raises(ImagebuilderError, match="a strange name"):
        _merged(tmp_path, tmp_path / "one")


def test_verb_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, output = _overlay(tmp_path / "one", _file("a")), tmp_path / "new/out.squashfs"
    assert main(["merge", str(path), "-o", str(output), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["artifact"], said["bytes"]) == (str(output), output.stat().st_size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["one", "-o", "out.tar"], "does not say in which format"), (["gone", "-o", "x.cpio.gz"], "there is no file")],
)
def test_wrong_arguments_are_the_users(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["merge", *arguments]) == 2
    assert message in capsys.readouterr().err
