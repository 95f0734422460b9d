"""Files of packages arrive in a root as dpkg would put them there."""

from __future__ import annotations

import os
import stat
import tarfile
from pathlib import Path

import pytest

from debs import TIME, Member, folder, link, member, write_deb
from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps.extract import Unpacked, Unpacking, extract
from imagebuilder.steps.path_filter import PathFilter, path_filter


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With a merged /usr, and a link that is absolute as in Debian's base-files."""
    root = tmp_path / "root"
    (root / "usr/lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "var").mkdir()
    (root / "var/run").symlink_to("/run")
    return root


def _extract(root: Path, *packages: list[Member], **given: object) -> tuple[Unpacked, ...]:
    excluded = given.pop("excluded", PathFilter())
    debs = [write_deb(root.parent / f"{number}.deb", members) for number, members in enumerate(packages)]
    return extract(root, [Unpacking(deb, **given) for deb in debs], excluded)  # type: ignore[arg-type]


def _mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


def test_files_folders_and_links_have_mode_and_time(root: Path) -> None:
    (found,) = _extract(
        root,
        [
            folder("./etc", 0o750),
            (member("./etc/file", mode=0o600), b"content"),
            (member("./etc/setuid", mode=0o4755), b"x"),
            link("./etc/link", "/nowhere"),
            link("./etc/same", "./etc/file", hard=True),
            folder("./etc/empty", 0o1777),
        ],
    )
    etc = root / "etc"
    assert (etc / "file").read_bytes() == b"content"
    assert [_mode(etc / name) for name in (".", "file", "setuid", "empty")] == ["0750", "0600", "4755", "1777"]
    assert os.readlink(etc / "link") == "/nowhere"
    assert (etc / "same").samefile(etc / "file")
    assert {path.lstat().st_mtime for path in (etc, *etc.iterdir())} == {TIME}
    assert found.paths == ("/.", "/etc", "/etc/file", "/etc/setuid", "/etc/link", "/etc/same", "/etc/empty")
    assert found.files == ("/etc/file", "/etc/setuid", "/etc/link", "/etc/same")


def test_linked_folders_are_followed_inside_the_root(root: Path) -> None:
    _extract(root, [folder("./lib"), folder("./lib/new"), (member("./lib/new/a"), b"a"), (member("./var/run/b"), b"b")])
    assert (root / "lib").is_symlink()
    assert (root / "usr/lib/new/a").read_bytes() == b"a"
    assert (root / "run/b").read_bytes() == b"b"


def test_folder_that_is_there_stays_as_it_is(root: Path) -> None:
    (root / "usr/lib").chmod(0o711)
    (found,) = _extract(root, [folder("./usr"), folder("./usr/lib", 0o777), link("./usr/lib", "elsewhere")])
    assert _mode(root / "usr/lib") == "0711"
    assert not (root / "usr/lib").is_symlink()
    assert found.files == ()


@pytest.mark.parametrize("first", [0, 1])
def test_first_package_decides_about_a_folder_whatever_thread_is_first(root: Path, first: int) -> None:
    # The larger package is begun first.
    members: list[list[Member]] = [[folder("./x", 0o700)], [folder("./x", 0o755), (member("./x/y"), os.urandom(9999))]]
    _extract(root, *(members if first == 0 else reversed(members)))
    assert _mode(root / "x") == ("0700" if first == 0 else "0755")
    assert (root / "x").stat().st_mtime == TIME


def test_what_is_in_the_way_is_replaced_not_written_through(root: Path) -> None:
    (root / "usr/real").write_text("kept")
    (root / "usr/link").symlink_to("real")
    (root / "usr/other").symlink_to("real")
    _extract(root, [(member("./usr/link"), b"new"), link("./usr/other", "new")])
    assert (root / "usr/real").read_text() == "kept"
    assert (root / "usr/link").read_text() == "new"
    assert os.readlink(root / "usr/other") == "new"


def test_excluded_paths_are_known_but_not_there(root: Path) -> None:
    excluded = path_filter(["path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright"])
    members: list[Member] = [folder("./usr/share/doc/p"), *((member(f"./usr/share/doc/p/{n}"), b"") for n in "ab")]
    (found,) = _extract(root, [*members, (member("./usr/share/doc/p/copyright"), b"")], excluded=excluded)
    assert [path.name for path in (root / "usr/share/doc/p").iterdir()] == ["copyright"]
    assert found.paths[1:] == tuple(f"/usr/share/doc/p{name}" for name in ("", "/a", "/b", "/copyright"))
    assert found.files == ("/usr/share/doc/p/copyright",)


def test_diverted_file_goes_where_it_is_diverted_to(root: Path) -> None:
    _extract(root, [(member("./usr/sh"), b"new")], diverted={"/usr/sh": "/lib/sh.real"})
    assert (root / "usr/lib/sh.real").read_bytes() == b"new"
    assert not (root / "usr/sh").exists()


def test_digests_are_those_that_were_asked_for(root: Path) -> None:
    members: list[Member] = [(member("./a"), b"a"), link("./b", "./a", hard=True), (member("./c"), b"")]
    a, empty = "0cc175b9c0f1b6a831c399e269772661", "d41d8cd98f00b204e9800998ecf8427e"
    assert _extract(root, members)[0].hashes == {}
    assert _extract(root, members, hashed={"/c"})[0].hashes == {"/c": empty}
    assert _extract(root, members, all_hashed=True)[0].hashes == {"/a": a, "/b": a, "/c": empty}


@pytest.mark.parametrize("name", ["../x", "./a/../../x", "./a\nb"])
def test_path_that_leads_elsewhere_is_refused(root: Path, name: str) -> None:
    with pytest.raises(ImagebuilderError, match="a package holds the path"):
        _extract(root, [(member(name), b"x")])


def test_link_out_of_the_root_is_not_followed_by_another_package(root: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    _extract(root, [link("./out", str(tmp_path / "outside"))])
    _extract(root, [(member("./out/x"), b"x")])
    assert not list((tmp_path / "outside").iterdir())
    assert (root / str(tmp_path)[1:] / "outside/x").exists()


def test_device_is_refused(root: Path) -> None:
    with pytest.raises(ImagebuilderError, match=r"0\.deb holds a device or a pipe, `/dev/null`"):
        _extract(root, [member("./dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3)])
