"""Artifacts read back into entries, and files that are none. (Against the real kernel: tests/root/steps.)"""

from __future__ import annotations

import io
import os
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagebuilder.engine.unpacked import opened
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.steps import cpio, sidecar
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry, bytes_of, capture
from imagebuilder.steps.overlay import PackOverlay
from imagebuilder.steps.unpack import from_cpio
from layers import layer, write_base, write_overlay
from machine import PlainMachine

FORMATS = ("cpio.gz", "cpio.zst", "squashfs")


def _tree(root: Path) -> Path:
    """A folder, a file with two names, an empty one, a symlink, a pipe, a name that is no text, an attribute."""
    (root / "d").mkdir(parents=True)
    (root / "a").write_text("content")
    os.link(root / "a", root / "d/again")
    (root / "empty").touch()
    (root / "link").symlink_to("d/again")
    os.mkfifo(root / "d/pipe")
    Path(os.fsdecode(os.fsencode(root) + b"/not \xff utf-8")).write_text("x")
    os.setxattr(root / "d", "user.note", b"\x00\xff\n")
    return root


def _values(entries: list[Entry]) -> list[tuple[Member, bytes, tuple[tuple[str, bytes], ...]]]:
    return [(entry.member, bytes_of(entry), entry.xattrs) for entry in entries]


@pytest.mark.parametrize("form", FORMATS)
def test_artifact_gives_the_entries_that_were_captured(tmp_path: Path, form: str) -> None:
    root, packed, below = _tree(tmp_path / "root"), tmp_path / "packed", tmp_path / "below"
    for folder in (below, tmp_path / "scratch"):
        folder.mkdir()
    PackOverlay(form, 2**31).run(PlainMachine(tmp_path / "scratch"), {"lower": (below,), "upper": (root,)}, packed)
    with opened(packed) as found:
        assert _values(found.entries) == _values(capture(root))


def test_archive_of_another_program_is_read(tmp_path: Path) -> None:
    root = _tree(tmp_path / "root")
    names = subprocess.run(["find", ".", "-print0"], cwd=root, check=True, capture_output=True).stdout
    argv = ["cpio", "--quiet", "-0", "-o", "-H", "newc"]
    packed = subprocess.run(argv, cwd=root, input=names, check=True, capture_output=True).stdout
    (tmp_path / "packed").write_bytes(packed)
    with opened(tmp_path / "packed") as found:
        assert _values(found.entries) == [(member, data, ()) for member, data, _ in _values(capture(root))]


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", [_cut, _flipped])
def test_cut_or_damaged_overlay_is_the_users_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    packed = write_overlay(tmp_path / "packed", layer({"/a": "text " * 99, "/b": "more" * 50}))
    packed.write_bytes(damage(packed.read_bytes()))
    with pytest.raises(UserError, match=r"packed is damaged: "), opened(packed):
        pass


def test_cut_squashfs_is_the_users_error(tmp_path: Path) -> None:
    packed = write_base(tmp_path / "packed", layer({f"/{n}": os.urandom(999).hex() for n in range(99)}))
    packed.write_bytes(_cut(packed.read_bytes()))
    with pytest.raises(UserError, match=r"packed is damaged: "), opened(packed):
        pass


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(99), b"PK\x03\x04", b"!<arch>\n"])
def test_file_of_another_kind_is_the_users_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(UserError, match="neither a cpio archive nor a squashfs"), opened(tmp_path / "file"):
        pass


def _archive(*entries: Entry) -> io.BytesIO:
    stream = io.BytesIO()
    cpio.write(entries, stream)
    stream.seek(0)
    return stream


def _file(name: bytes, mode: int = stat.S_IFREG | 0o644) -> Entry:
    return Entry(Member(name, mode, size=1), b"x")


LINK = Entry(Member(b"out", stat.S_IFLNK | 0o777, size=4), b"/etc")
HOSTILE: tuple[tuple[str, tuple[Entry, ...], str], ...] = (
    ("a name that climbs", (_file(b"a/../../x"),), r"`a/../../x` leads out of the root"),
    ("an absolute name", (_file(b"/etc/passwd"),), r"`/etc/passwd` leads out of the root"),
    ("a name below a symlink", (LINK, _file(b"out/passwd")), r"/out/passwd lies in /out, a symlink"),
    ("a name below a symlink that comes later", (_file(b"out/passwd"), LINK), r"/out/passwd lies in /out, a symlink"),
    ("a name below a file", (_file(b"a"), _file(b"a/b")), r"/a/b lies in /a, a file"),
    ("a name twice", (_file(b"a"), _file(b"./a")), r"/a is in the archive twice"),
    ("a folder with a content", (_file(b"a", stat.S_IFDIR | 0o755),), r"`a` has a content"),
    (
        "a symlink without an end",
        (replace(LINK, member=replace(LINK.member, size=5000), content=b"x" * 5000),),
        "`out`",
    ),
)


@pytest.mark.parametrize(("entries", "message"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_what_would_be_written_elsewhere_is_refused(tmp_path: Path, entries: tuple[Entry, ...], message: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ImagebuilderError, match=message):
        from_cpio(_archive(*entries), tmp_path / "folder")
    assert all(path.name.isdecimal() for path in (tmp_path / "folder").iterdir())


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tree in every format."""
    folder = tmp_path_factory.mktemp("artifacts")
    root = _tree(folder / "root")
    for name in ("below", "scratch"):
        (folder / name).mkdir()
    layers = {"lower": (folder / "below",), "upper": (root,)}
    for form in FORMATS:
        PackOverlay(form, 0).run(PlainMachine(folder / "scratch"), layers, folder / form)
    return folder


@settings(
    max_examples=int(os.environ.get("IMAGEBUILDER_TEST_FUZZ", "400")) // 4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(FORMATS), st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
def test_mangled_artifact_is_read_or_the_users_error_and_nothing_else(
    artifacts: Path, tmp_path: Path, form: str, where: float, bits: int, is_cut: bool
) -> None:
    data = bytearray((artifacts / form).read_bytes())
    place = int(where * len(data))
    data[place] ^= bits
    (tmp_path / "packed").write_bytes(data[:place] if is_cut else data)
    with suppress(UserError), opened(tmp_path / "packed") as found:
        assert all(b".." not in entry.name.split(b"/") for entry in found.entries)
        if is_cut:  # in the zeros at the end
            assert len(found.entries) == len(list((artifacts / "root").rglob("*"))) + 1


def test_sidecar_is_no_entry(tmp_path: Path) -> None:
    entries = layer({"/a": "x"}, {"/l": "a"})
    known = sidecar.Known({"1/lines/etc/passwd": b"=a\n"}, frozenset({b".", b"a"}))
    packed = write_overlay(tmp_path / "packed", sidecar.add(entries, known, "cpio.gz", 0, tmp_path))
    with opened(packed) as found:
        assert [entry.path for entry in found.entries] == ["/", "/a", "/l"]
        assert sidecar.Known(found.changes, found.replaces or frozenset()) == known
