"""Release files: their dates and digests, by suite and never by mirror."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from imagebuilder.resolve.releases import by_suite, newest, read_releases

TEXT = "Suite: stable\nDate: Sat, 11 Jan 2025 10:05:18 UTC\n"
SHA = hashlib.sha256(TEXT.encode()).hexdigest()


@pytest.mark.parametrize(
    "mirror", ["deb.debian.org_debian", "127.0.0.1:3142_debian", "m_archive_debian_20260101T000000Z"]
)
def test_suite_is_known_whichever_mirror_it_came_from(tmp_path: Path, mirror: str) -> None:
    (tmp_path / f"{mirror}_dists_bookworm-security_InRelease").write_text(TEXT)
    (tmp_path / f"{mirror}_dists_bookworm_main_binary-amd64_Packages").write_text(TEXT)
    assert by_suite(read_releases(tmp_path)) == {"bookworm-security": (f"2025-01-11T10:05:18Z {SHA}",)}


def test_two_of_one_suite_and_one_of_none_are_told_apart(tmp_path: Path) -> None:
    names = ("a_dists_stable_InRelease", "b_dists_stable_Release", "c_._InRelease", "d_dists_x_InRelease")
    for name, minute in zip(names, (9, 8, 7, 6), strict=True):
        (tmp_path / name).write_text(TEXT.replace("10:05", f"10:0{minute}"))
    (tmp_path / "e_dists_undated_InRelease").write_text("Suite: x\n")
    found = read_releases(tmp_path)
    assert {suite: len(entries) for suite, entries in by_suite(found).items()} == {"./": 1, "stable": 2, "x": 1}
    assert by_suite(found)["stable"][0] < by_suite(found)["stable"][1]
    assert newest(found) == 1736590158


def test_there_need_not_be_any(tmp_path: Path) -> None:
    assert newest(read_releases(tmp_path)) == 0
