"""The lock as text: one package a line, the same text for the same lock, and words for a file that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.errors import SpecError
from imagebuilder.resolve.changes import changes
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.lock import FORMAT, Lock, LockedImage, parse, read_lock, text_of
from imagebuilder.resolve.resolution import ImagePackages, Kernel

FILE = Path("/tree/imagebuilder.lock")
SHA = "0" * 63


def _deb(name: str, version: str = "1:2.0-1~deb12u1+b1", architecture: str = "amd64") -> Deb:
    return Deb(name, version, architecture, 1234, f"{SHA}{len(name) % 10}")


KERNEL = Kernel("6.1.0-35-amd64", (_deb("linux-image-6.1.0-35-amd64"),))
LOCK = Lock(
    playbook="all.yml",
    settings={"debootstrap_release": "bookworm", "debootstrap_arch": "amd64", "snapshot": None},
    program={"python": ["python3"]},
    releases={"bookworm": (f"2024-06-03T00:00:00Z {SHA}1",)},
    kernel=KERNEL,
    python=(_deb("python3"),),
    images={
        "x": LockedImage(
            {"packages": ["less", "ä"]}, ImagePackages((_deb("less"), _deb("libc6"))), {"files/motd": SHA}
        ),
        "initrd": LockedImage({}, ImagePackages((), (_deb("busybox"),), (_deb("firmware-x"),), KERNEL), {}),
    },
    epoch=5,
)


def test_text_is_read_as_what_was_written() -> None:
    assert parse(text_of(LOCK), FILE) == LOCK


def test_text_does_not_depend_on_the_order_of_things_that_have_none() -> None:
    images, settings = (
        {name: part[name] for name in sorted(part, reverse=True)} for part in (LOCK.images, LOCK.settings)
    )
    other = replace(LOCK, images=images, settings=settings)
    assert text_of(other) == text_of(LOCK)


def test_each_package_is_one_line() -> None:
    lines = text_of(LOCK).splitlines()
    assert sum('"less 1:2.0-1~deb12u1+b1 amd64 1234 ' in line for line in lines) == 1
    image = LockedImage({}, ImagePackages((_deb("less", "3"), _deb("libc6"))), {"files/motd": SHA})
    newer = text_of(replace(LOCK, images={**LOCK.images, "x": replace(image, asks=LOCK.images["x"].asks)})).splitlines()
    assert len(set(lines) ^ set(newer)) == 2


def test_tree_without_a_lock_has_none(tmp_path: Path) -> None:
    assert read_lock(tmp_path) is None


def _without(key: str) -> str:
    return json.dumps({k: v for k, v in json.loads(text_of(LOCK)).items() if k != key})


def _with(**changes: Any) -> str:
    return json.dumps({**json.loads(text_of(LOCK)), **changes})


DAMAGED: tuple[tuple[str, str, str], ...] = (
    ("cut off", text_of(LOCK)[:400], "this lock is damaged: "),
    ("two versions at once", "<<<<<<< ours\n" + text_of(LOCK), "/tree/imagebuilder.lock:1: this lock is damaged: "),
    ("no object", "[]", "this lock is damaged: "),
    ("empty", "", "/tree/imagebuilder.lock:1: this lock is damaged: "),
    ("without kernel", _without("kernel"), "`kernel` is missing"),
    ("without format", _without("format"), "`format` is missing"),
    ("format of nobody", _with(format=0), "`format: 0` is none of ours"),
    ("images as a list", _with(images=[]), "this lock is damaged: "),
    ("no digest", _with(python=["python3 1 amd64 5"]), "`python3 1 amd64 5` is no package"),
    ("a path as a name", _with(python=[f"../x 1 amd64 5 {SHA}1"]), "is no package"),
)


@pytest.mark.parametrize(("name", "text", "message"), DAMAGED, ids=[name for name, *_ in DAMAGED])
def test_damaged_lock_says_so_and_the_way_out(name: str, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text, FILE)
    assert message in caught.value.message
    assert "`imagebuilder lock`" in (caught.value.hint or "")


def test_lock_of_a_newer_program_is_not_called_damaged() -> None:
    with pytest.raises(SpecError, match=f"has format {FORMAT + 1}, of a newer imagebuilder; this one reads") as caught:
        parse(_with(format=FORMAT + 1, images="who knows"), FILE)
    assert "install that version" in (caught.value.hint or "")


def test_changes_are_told_by_image_and_package() -> None:
    i386 = _deb("libc6", "2", "i386")
    packages = ImagePackages((_deb("less", "3"), i386, _deb("new", "1")))
    newer = replace(LOCK, images={**LOCK.images, "x": replace(LOCK.images["x"], packages=packages)}, python=())
    assert [str(change) for change in changes(LOCK, newer)] == [
        "  - python3 1:2.0-1~deb12u1+b1",
        "  less 1:2.0-1~deb12u1+b1 -> 3",
        "  - libc6 1:2.0-1~deb12u1+b1",
        "  + libc6:i386 2",
        "  + new 1",
    ]
    assert changes(LOCK, LOCK) == ()
    assert {change.before for change in changes(None, LOCK)} == {None}
