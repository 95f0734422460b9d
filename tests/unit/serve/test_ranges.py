"""Range headers, against RFC 9110."""

from __future__ import annotations

import pytest

from imagebuilder.serve.ranges import Unsatisfiable, byte_range

SIZE = 1000
RANGES = [
    (None, None),
    ("bytes=0-0", (0, 0)),
    ("bytes=0-99", (0, 99)),
    ("bytes=500-", (500, 999)),
    ("bytes=990-2000", (990, 999)),
    ("bytes=-10", (990, 999)),
    ("bytes=-2000", (0, 999)),
    (" bytes=1-2 ", (1, 2)),
    ("bytes=5-4", None),
    ("bytes=0-1,5-6", None),
    ("bytes=-", None),
    ("octets=0-1", None),
    ("bytes=a-b", None),
    ("bytes=٣-٤", None),
]


@pytest.mark.parametrize(("header", "part"), RANGES, ids=str)
def test_range_is_the_part_that_it_names_or_all(header: str | None, part: tuple[int, int] | None) -> None:
    assert byte_range(header, SIZE) == part


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1005-1009", "bytes=-0"])
def test_range_behind_the_end_cannot_be_satisfied(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        byte_range(header, SIZE)
