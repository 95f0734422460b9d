"""Files of the tree arrive in the root with the owner, mode and place that they were given."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps.base import Source
from imagebuilder.steps.files import CopyFiles, FileCopy
from machine import PlainMachine, PlainRoot

pytestmark = pytest.mark.root

PASSWD = "root:x:0:0::/root:/bin/sh\nmonorail:x:1000:1000::/home/monorail:/bin/sh\n"
GROUP = "root:x:0:\nstaff:x:50:monorail\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "root/etc/passwd").write_text(PASSWD)
    (tmp_path / "root/etc/group").write_text(GROUP)
    return tmp_path / "root"


def _copy(root: Path, *files: FileCopy) -> None:
    CopyFiles(files).run(PlainMachine(root.parent), PlainRoot(root))


def _seen(path: Path) -> tuple[str, int, int]:
    status = path.lstat()
    return (f"{stat.S_IMODE(status.st_mode):04o}", status.st_uid, status.st_gid)


TEXTS: tuple[tuple[FileCopy, tuple[str, int, int]], ...] = (
    (FileCopy("/etc/motd", text="x"), ("0644", 0, 0)),
    (FileCopy("/etc/motd", text="x", mode=0o600), ("0600", 0, 0)),
    (FileCopy("/etc/motd", text="x", mode=0), ("0000", 0, 0)),
    (FileCopy("/etc/motd", text="x", mode=0o4755, owner="monorail", group="staff"), ("4755", 1000, 50)),
    (FileCopy("/etc/motd", text="x", owner="7", group="8"), ("0644", 7, 8)),
)


@pytest.mark.parametrize(("copy", "expected"), TEXTS)
def test_text_has_owner_and_mode_whatever_the_umask(root: Path, copy: FileCopy, expected: tuple[str, int, int]) -> None:
    before = os.umask(0o077)
    try:
        _copy(root, copy)
    finally:
        os.umask(before)
    assert (root / "etc/motd").read_text() == "x"
    assert _seen(root / "etc/motd") == expected


@pytest.mark.parametrize(("name", "content"), [("owner", "passwd"), ("group", "group")])
def test_name_that_the_root_does_not_know_is_an_error_with_a_way_out(root: Path, name: str, content: str) -> None:
    with pytest.raises(ImagebuilderError) as caught:
        _copy(root, FileCopy("/etc/motd", text="x", **{name: "nobody"}))  # type: ignore[arg-type]
    assert f"`nobody`, the owner or group of /etc/motd, is not in the image's /etc/{content}" in caught.value.message
    assert "make the user" in (caught.value.hint or "")


def test_root_owns_files_even_where_no_database_is(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    _copy(tmp_path / "root", FileCopy("/init", text="x", mode=0o755))
    assert _seen(tmp_path / "root/init") == ("0755", 0, 0)


@pytest.mark.parametrize(("given", "expected"), [(0o600, "0644"), (0o700, "0755"), (0o666, "0644")])
def test_file_keeps_of_its_permissions_what_a_checkout_keeps(
    root: Path, tmp_path: Path, given: int, expected: str
) -> None:
    source = tmp_path / "tool"
    source.write_text("x")
    source.chmod(given)
    _copy(root, FileCopy("/opt/new/tool", Source.of(source), owner="monorail"))
    assert _seen(root / "opt/new/tool") == (expected, 1000, 0)
    assert _seen(root / "opt/new") == ("0755", 0, 0)


def test_file_takes_the_place_of_a_link_not_of_what_it_names(root: Path) -> None:
    (root / "etc/real").write_text("kept")
    (root / "etc/link").symlink_to("real")
    _copy(root, FileCopy("/etc/link", text="new"))
    assert (root / "etc/real").read_text() == "kept"
    assert not (root / "etc/link").is_symlink()


def test_linked_folders_are_followed_inside_the_root(root: Path) -> None:
    (root / "lib").symlink_to("/usr/lib")
    (root / "etc/here").symlink_to("//opt")
    _copy(root, FileCopy("/lib/a/b", text="x"), FileCopy("/etc/here/c", text="y"))
    assert (root / "usr/lib/a/b").read_text() == "x"
    assert (root / "opt/c").read_text() == "y"
    assert not Path("/opt/c").exists()


def test_link_that_the_tree_gives_as_source_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("content")
    (tmp_path / "named").symlink_to("real")
    _copy(root, FileCopy("/etc/file", Source.of(tmp_path / "named")))
    assert not (root / "etc/file").is_symlink()
    assert (root / "etc/file").read_text() == "content"


def test_folder_is_copied_whole(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/script").write_text("x")
    (source / "deep/er/script").chmod(0o755)
    (source / "empty").mkdir()
    (source / "link").symlink_to("/nowhere")
    (source / "linked").symlink_to("deep")
    (root / "opt").mkdir()
    (root / "opt/kept").write_text("kept")
    _copy(root, FileCopy("/opt/new/app", Source.of(source), owner="monorail", group="staff"))
    _copy(root, FileCopy("/", Source.of(source)))
    app = root / "opt/new/app"
    assert sorted(str(p.relative_to(app)) for p in app.rglob("*")) == [
        "deep",
        "deep/er",
        "deep/er/script",
        "empty",
        "link",
        "linked",
    ]
    assert _seen(app / "deep/er/script") == ("0755", 1000, 50)
    assert _seen(app) == _seen(app / "empty") == ("0755", 1000, 50)
    assert _seen(root / "opt/new") == ("0755", 0, 0)
    assert (os.readlink(app / "link"), os.readlink(app / "linked")) == ("/nowhere", "deep")
    assert _seen(app / "link")[1:] == (1000, 50)
    assert _seen(root / "deep/er/script") == ("0755", 0, 0)
    assert (root / "opt/kept").read_text() == "kept"


def test_mode_of_a_folder_is_that_of_its_files(root: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").touch()
    _copy(root, FileCopy("/secret", Source.of(tmp_path / "source"), mode=0o600))
    assert _seen(root / "secret/file")[0] == "0600"
    assert _seen(root / "secret")[0] == "0755"


def test_files_are_copied_in_order(root: Path) -> None:
    _copy(root, FileCopy("/a", text="first"), FileCopy("/a", text="second"))
    assert (root / "a").read_text() == "second"


def test_folder_in_the_way_is_an_error_not_a_loss(root: Path) -> None:
    (root / "opt/full").mkdir(parents=True)
    (root / "opt/full/file").touch()
    with pytest.raises(IsADirectoryError):
        _copy(root, FileCopy("/opt/full", text="x"))
    assert (root / "opt/full/file").exists()
