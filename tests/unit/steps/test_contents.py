"""What an archive unpacks to: pages of RAM, and files that may do more than others."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import cpio, sidecar
from imagebuilder.steps.contents import Contents, contents_of
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry

FILE, SETUID, SETGID = stat.S_IFREG | 0o755, stat.S_IFREG | 0o4755, stat.S_IFREG | 0o2755


def _entry(name: str, mode: int, content: bytes = b"", *xattrs: tuple[str, bytes], **more: object) -> Entry:
    return Entry(Member(name.encode(), mode, size=len(content), **more), content, xattrs)  # type: ignore[arg-type]


def _contents(*entries: Entry) -> Contents:
    archive = io.BytesIO()
    cpio.write(cpio.number([_entry(".", stat.S_IFDIR | 0o755), *entries]), archive)
    archive.seek(0)
    return contents_of(archive)


def test_files_take_whole_pages_and_a_hard_linked_one_takes_them_once() -> None:
    once = [_entry(name, FILE, bytes(5000), inode=7, links=2) for name in ("a", "b")]
    empty, small = _entry("empty", FILE), _entry("small", FILE, b"x")
    folder, link = _entry("folder", stat.S_IFDIR | 0o755), _entry("link", stat.S_IFLNK | 0o777, b"a")
    assert _contents(*once, empty, small, folder, link) == Contents(3 * 4096, ())


def test_special_are_setuid_and_setgid_files_and_devices_but_no_folders_and_whiteouts() -> None:
    entries = [
        _entry("usr", stat.S_IFDIR | 0o2775),
        _entry("usr/su", SETUID),
        _entry("usr/wall", SETGID),
        _entry("usr/ls", FILE),
        _entry("gone", stat.S_IFCHR),
        _entry("memory", stat.S_IFCHR | 0o600, device=(1, 1)),
        _entry("disk", stat.S_IFBLK | 0o600, device=(8, 0)),
    ]
    assert _contents(*entries).special == ("/disk", "/memory", "/usr/su", "/usr/wall")


def test_files_with_attributes_are_special(tmp_path: Path) -> None:
    entries = [
        _entry(".", stat.S_IFDIR | 0o755),
        _entry("log", stat.S_IFDIR | 0o755, b"", ("system.posix_acl_access", b"\2\0\0\0")),
        _entry("ls", FILE, b"x"),
        *(_entry(name, FILE, b"x", ("security.capability", bytes(20)), inode=9, links=2) for name in ("ping", "pong")),
    ]
    members = sidecar.add(cpio.number(entries), sidecar.Known({}, frozenset()), "cpio.gz", 0, tmp_path)
    archive = io.BytesIO()
    cpio.write(members, archive)
    archive.seek(0)
    assert contents_of(archive).special == ("/ping", "/pong")


def test_annotations_hold_any_name_in_plain_characters() -> None:
    contents = Contents(7, ("/usr/bin/ping", '/a space, "quotes" and \udcff', "/[*]?%\n"))
    assert dict(contents.notes) == {
        "on-imagebuilder.unpacked": "7",
        "on-imagebuilder.special": "/usr/bin/ping /a%20space,%20%22quotes%22%20and%20%FF /%5B%2A%5D%3F%25%0A",
    }


def test_more_special_files_than_nodes_read_are_refused() -> None:
    with pytest.raises(ImagebuilderError, match="more than a manifest can list"):
        _ = Contents(1, tuple(f"/usr/bin/{number}" for number in range(9_999))).notes
