"""Archives: the bytes that the format asks for, the same ones every time, and nothing that it cannot hold."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member, Source

EPOCH = 1_700_000_000
GIB = 1 << 30

GOLDEN = (
    b"070701" b"00000001" b"000041ED" b"00000000" b"00000000" b"00000001" b"6553F100" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000002" b"00000000" b".\0"
    b"070701" b"00000002" b"000081A4" b"00000001" b"000186A0" b"00000001" b"00000007" b"00000005"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000005" b"00000000" b"file\0" b"\0" b"hello" b"\0\0\0"
    b"070701" b"00000003" b"00002000" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"00000005" b"00000000" b"gone\0" b"\0"
    b"070701" b"00000000" b"00000000" b"00000000" b"00000000" b"00000001" b"00000000" b"00000000"
    b"00000000" b"00000000" b"00000000" b"00000000" b"0000000B" b"00000000" b"TRAILER!!!\0" b"\0\0\0"
)  # fmt: skip


def _archive(sources: Iterable[Source]) -> bytes:
    buffer = io.BytesIO()
    assert cpio.write(cpio.number(sources), buffer) == len(buffer.getvalue())
    return buffer.getvalue()


def _members(archive: bytes) -> list[tuple[Member, bytes]]:
    return [(member, content.read()) for member, content in cpio.read(io.BytesIO(archive))]


def _file(name: bytes, content: bytes = b"", *, uid: int = 0, gid: int = 0, mtime: int = 0) -> Source:
    return Source(Member(name, stat.S_IFREG | 0o644, uid=uid, gid=gid, mtime=mtime, size=len(content)), content)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root\n")
    (root / "etc-default").write_text("sorts between the folder and what is in it\n")
    (root / "link").symlink_to("etc/passwd")
    os.mkfifo(root / "pipe")
    (root / "!first").touch()
    return root


def test_bytes_are_those_of_the_format() -> None:
    root = Source(Member(b".", stat.S_IFDIR | 0o755, mtime=EPOCH))
    file = _file(b"file", b"hello", uid=1, gid=100_000, mtime=7)
    whiteout = Source(Member(b"gone", stat.S_IFCHR))
    assert _archive([whiteout, file, root]) == GOLDEN + bytes(512 - len(GOLDEN) % 512)


def test_archive_is_the_one_that_gnu_cpio_writes(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(bytes(range(256)) * 33)
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to("blob")
    os.mkfifo(tmp_path / "pipe")
    names = "blob\nempty\nlink\npipe\n"
    argv = ["cpio", "--create", "--format=newc", "--reproducible", "--quiet"]
    theirs = subprocess.run(argv, input=names.encode(), cwd=tmp_path, capture_output=True, check=True).stdout
    ours = io.BytesIO()
    # It counts inodes from 0; ours are one more, and here also the root's number is missing.
    cpio.write([_renumbered(s) for s in cpio.scan(tmp_path, clamp=1 << 32) if s.member.name != b"."], ours)
    assert ours.getvalue() == theirs


def _renumbered(source: Source) -> Source:
    return replace(source, member=replace(source.member, inode=source.member.inode - 2))


def test_members_come_sorted_the_root_first_and_folders_before_what_is_in_them(tree: Path) -> None:
    names = [source.member.name for source in cpio.scan(tree, clamp=EPOCH)]
    assert names == [b".", b"!first", b"etc", b"etc-default", b"etc/passwd", b"link", b"pipe"]


def test_times_inodes_and_the_order_of_creation_leave_no_trace(tree: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    (again / "etc").mkdir(parents=True)
    os.mkfifo(again / "pipe")
    for name in ("!first", "etc-default", "etc/passwd"):
        (again / name).write_bytes((tree / name).read_bytes())
    (again / "link").symlink_to("etc/passwd")
    for path in again.rglob("*"):
        os.utime(path, (EPOCH + 999, EPOCH + 999), follow_symlinks=False)
    assert _archive(cpio.scan(tree, clamp=EPOCH)) == _archive(cpio.scan(again, clamp=EPOCH))


def test_times_before_the_clamp_are_kept_and_times_before_1970_are_not(tree: Path) -> None:
    os.utime(tree / "etc-default", (12, 12))
    os.utime(tree / "etc/passwd", (-12, -12))
    times = {source.member.name: source.member.mtime for source in cpio.scan(tree, clamp=EPOCH)}
    assert (times[b"etc-default"], times[b"etc/passwd"], times[b"!first"]) == (12, 0, EPOCH)


def test_names_of_one_file_share_an_inode_and_the_last_has_the_content(tree: Path) -> None:
    os.link(tree / "etc/passwd", tree / "a")
    os.link(tree / "etc/passwd", tree / "z")
    found = {member.name: (member, content) for member, content in _members(_archive(cpio.scan(tree, clamp=EPOCH)))}
    linked = [found[name][0] for name in (b"a", b"etc/passwd", b"z")]
    assert [found[name][1] for name in (b"a", b"etc/passwd", b"z")] == [b"", b"", b"root\n"]
    assert {(member.inode, member.links) for member in linked} == {(linked[0].inode, 3)}
    assert len({member.inode for member, _ in found.values()}) == len(found) - 2


def test_link_to_a_name_outside_the_tree_does_not_count(tree: Path, tmp_path: Path) -> None:
    os.link(tree / "etc/passwd", tmp_path / "outside")
    (member,) = (s.member for s in cpio.scan(tree, clamp=EPOCH) if s.member.name == b"etc/passwd")
    assert (member.links, member.size) == (1, 5)


def test_every_name_of_a_hard_linked_symlink_has_its_target(tree: Path) -> None:
    os.link(tree / "link", tree / "second", follow_symlinks=False)
    found = {member.name: content for member, content in _members(_archive(cpio.scan(tree, clamp=EPOCH)))}
    assert (found[b"link"], found[b"second"]) == (b"etc/passwd", b"etc/passwd")


@pytest.mark.parametrize(
    "tool", [("cpio", "-idm", "--quiet"), ("bsdcpio", "-idm", "--quiet"), ("busybox", "cpio", "-idm")]
)
def test_other_programs_unpack_what_was_packed(tree: Path, tmp_path: Path, tool: tuple[str, ...]) -> None:
    (tree / os.fsdecode(b"name with \xff and \n")).write_bytes(b"\0" * 70_001)
    os.link(tree / "etc/passwd", tree / "z")
    target = tmp_path / "out"
    target.mkdir()
    archive = _archive(cpio.scan(tree, clamp=EPOCH))
    subprocess.run(tool, input=archive, cwd=target, check=True, capture_output=True)
    assert (target / "z").samefile(target / "etc/passwd")
    assert _archive(_without_times(target)) == _archive(_without_times(tree))


def _without_times(root: Path) -> list[Source]:
    return [replace(s, member=replace(s.member, mtime=0)) for s in cpio.scan(root, clamp=EPOCH)]


names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and name != b"TRAILER!!!")
words = st.integers(0, 0xFFFF_FFFF)
files = st.builds(
    lambda name, mode, ids, content: Source(
        Member(name, stat.S_IFREG | mode, uid=ids[0], gid=ids[1], mtime=ids[2], size=len(content)), content
    ),
    names, st.integers(0, 0o7777), st.tuples(words, words, words), st.binary(max_size=50),
)  # fmt: skip


@given(st.lists(files, unique_by=lambda source: source.member.name))
def test_what_is_written_is_read_again(sources: list[Source]) -> None:
    numbered = cpio.number(sources)
    assert _members(_archive(sources)) == [(source.member, source.content) for source in numbered]


def test_content_may_be_left_unread() -> None:
    archive = _archive([_file(b"a", b"x" * 999), _file(b"b", b"second")])
    read = []
    for member, content in cpio.read(io.BytesIO(archive)):
        read.append(content.read(1) if member.name == b"a" else content.read())
    assert read == [b"x", b"second"]


def test_archives_in_a_row_are_read_as_one() -> None:
    both = _archive([_file(b"a")]) + bytes(1024) + _archive([_file(b"b")])
    assert [member.name for member, _ in _members(both)] == [b"a", b"b"]


def test_archive_that_is_cut_anywhere_is_refused() -> None:
    archive = GOLDEN
    for end in range(len(archive) - 3):  # the trailer's padding may be missing
        with pytest.raises(ImagebuilderError):
            _members(archive[:end])


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"070707" + bytes(200), "begins with b'070707'"),
        (b"\x1f\x8b\x08\0" + bytes(200), "no cpio archive"),
        (GOLDEN.replace(b"000081A4", b"0000G1A4"), "no hex digits"),
        (GOLDEN.replace(b"00000005" b"00000000" b"file", b"0000FFFF" b"00000000" b"file"), "a name of 65535 bytes"),
        (GOLDEN.replace(b"00000005" b"00000000" b"file", b"00000000" b"00000000" b"file"), "a name of 0 bytes"),
        (bytes(512), "begins with"),
    ],
)  # fmt: skip
def test_damaged_archive_says_what_is_wrong(broken: bytes, reason: str) -> None:
    with pytest.raises(ImagebuilderError, match=reason):
        _members(broken)


def test_file_of_four_gibibytes_is_refused_and_one_byte_less_is_not(tree: Path) -> None:
    os.truncate(tree / "!first", 4 * GIB)
    with pytest.raises(ImagebuilderError, match="`!first` has 4294967296 bytes") as caught:
        cpio.write(cpio.scan(tree, clamp=EPOCH), io.BytesIO())
    assert caught.value.hint == "use `format: squashfs`"
    member = Member(b"big", stat.S_IFREG, size=4 * GIB - 1)
    assert b"FFFFFFFF" in _header_of(member)


def _header_of(member: Member) -> bytes:
    """The first bytes that `write` produces; the content is missing, so it fails after them."""
    buffer = io.BytesIO()
    with pytest.raises(ImagebuilderError, match="became shorter"):
        cpio.write([Source(member)], buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", [b"TRAILER!!!", b"x" * 4096, b""])
def test_name_that_readers_would_misunderstand_is_refused(name: bytes) -> None:
    with pytest.raises(ImagebuilderError):
        _archive([_file(name)])
    assert _archive([_file(b"x" * 4095)])


def test_socket_is_refused(tree: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
        with pytest.raises(ImagebuilderError, match="`socket` is a socket"):
            cpio.write(cpio.scan(tree, clamp=EPOCH), io.BytesIO())


def test_file_that_shrinks_meanwhile_is_refused(tree: Path) -> None:
    sources = cpio.scan(tree, clamp=EPOCH)
    (tree / "etc/passwd").write_text("r")
    with pytest.raises(ImagebuilderError, match="became shorter"):
        cpio.write(sources, io.BytesIO())


def _mangled(archive: bytes, cuts: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, put in cuts:
        at = place % (len(archive) + 1)
        archive = archive[:at] + put + archive[at + length :]
    return archive


pieces = st.one_of(st.binary(max_size=8), st.sampled_from([b"0000", b"FFFFFFFF", b"070701", b"TRAILER!!!\0"]))
cuts = st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 12), pieces), min_size=1, max_size=6)


@settings(max_examples=int(os.environ.get("IMAGEBUILDER_TEST_FUZZ", "3000")), deadline=None)
@given(st.lists(files, max_size=3, unique_by=lambda source: source.member.name), cuts)
def test_mangled_archive_is_read_or_refused_and_nothing_else(
    sources: list[Source], cuts: list[tuple[int, int, bytes]]
) -> None:
    with suppress(ImagebuilderError):
        for member, content in _members(_mangled(_archive(sources), cuts)):
            assert len(content) == member.size
            assert 0 < len(member.name) <= 4095
