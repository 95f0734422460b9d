"""The time that images carry is the mirror's, not the build's."""

from __future__ import annotations

import re
import subprocess
from datetime import datetime
from pathlib import Path

import pytest

from mirror import DATE

pytestmark = [pytest.mark.root, pytest.mark.network]


def _output(*argv: str | Path) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_no_file_is_younger_than_the_mirror_and_accounts_were_made_on_its_day(small_images: Path) -> None:
    date = datetime.strptime(DATE, "%a, %d %b %Y %H:%M:%S %z")
    (base,) = small_images.glob("base.*.squashfs.img")
    days = re.findall(r" (\d{4}-\d\d-\d\d) \d\d:\d\d ", _output("unsquashfs", "-lln", base))
    assert max(days) == f"{date:%Y-%m-%d}"
    changed = {line.split(":")[2] for line in _output("unsquashfs", "-cat", base, "etc/shadow").splitlines()}
    assert changed == {str(int(date.timestamp()) // 86400)}


def test_overlay_carries_the_same_time(small_images: Path) -> None:
    date = datetime.strptime(DATE, "%a, %d %b %Y %H:%M:%S %z")
    archive = small_images / "extra.overlay.cpio.gz"
    header = archive.read_bytes()[:8]
    assert header[4:8] == bytes(4)  # gzip's own time
    listing = _output("sh", "-c", 'bsdtar -cf - --format=mtree --options=mtree:!all,mtree:time "@$0"', archive)
    found = {float(word.removeprefix("time=")) for word in listing.split() if word.startswith("time=")}
    assert max(found) == date.timestamp()
