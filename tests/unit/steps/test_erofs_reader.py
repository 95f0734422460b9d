"""Attributes are read back from what travels beside an overlay, and from nothing that is damaged."""

from __future__ import annotations

import io
import stat
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import cpio, erofs
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry

ACL, CAPABILITY = ("system.posix_acl_access", b"\2\0\0\0"), ("security.capability", b"\1" * 20)
NAMES = [f"d/{number:0200}".encode() for number in range(60)]  # more than a block of them


def _image() -> tuple[bytes, dict[bytes, tuple[tuple[str, bytes], ...]]]:
    entries = [Entry(Member(name, stat.S_IFDIR | 0o755)) for name in (b".", b"d")]
    entries += [
        Entry(Member(name, stat.S_IFREG, size=4), b"text", (ACL, CAPABILITY)[: n % 3]) for n, name in enumerate(NAMES)
    ]
    image = io.BytesIO()
    erofs.write(numbered := cpio.number(entries), image)
    return image.getvalue(), {entry.name: tuple(sorted(entry.xattrs)) for entry in numbered}


IMAGE, EXPECTED = _image()


def test_attributes_come_back() -> None:
    assert erofs.read_attributes(IMAGE) == EXPECTED


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1024, len(IMAGE) - 1), st.integers(0, 255)), min_size=1, max_size=8))
def test_damage_is_an_error_or_another_answer(changes: list[tuple[int, int]]) -> None:
    image = bytearray(IMAGE)
    for at, value in changes:
        image[at] = value
    with suppress(ImagebuilderError):
        erofs.read_attributes(bytes(image))


def test_inode_farther_away_than_memory_reaches_is_an_error() -> None:
    image = bytearray(IMAGE)
    for at in range(8192 + 7, 8192 + 40, 12):  # the highest byte of each number in the root's folder
        image[at] = 127
    with pytest.raises(ImagebuilderError, match="that travel with the overlay are damaged"):
        erofs.read_attributes(bytes(image))


@pytest.mark.parametrize("image", [b"", bytes(9999), IMAGE[:1200], IMAGE[:5000]], ids=len)
def test_what_is_cut_or_no_image_is_refused(image: bytes) -> None:
    with pytest.raises(ImagebuilderError, match="that travel with the overlay are damaged"):
        erofs.read_attributes(image)


def test_folder_that_leads_back_is_refused_before_it_has_been_read_often() -> None:
    back = IMAGE.replace(b"...000", b".up000")
    assert back != IMAGE
    with pytest.raises(ImagebuilderError, match="go round in circles"):
        erofs.read_attributes(back)
