"""What lines of a serial console mean."""

from __future__ import annotations

import pytest

from imagebuilder.boot.console import Console, Failed, Said

LINES = [
    (b"SeaBIOS (version 1.16.2-debian-1.16.2-1)", Said("firmware", "SeaBIOS (version 1.16.2-debian-1.16.2-1)")),
    (
        b"\x1b[1m\x1b[37m\x1b[40miPXE 1.0.0+git-20190125\x1b[0m -- Open Source",
        Said("firmware", "iPXE 1.0.0+git-20190125"),
    ),
    (b'BdsDxe: loading Boot0002 "UEFI PXEv4"', Said("firmware", "BdsDxe: loading")),
    (b"[    0.000000] Linux version 6.1.0-56-amd64 (debian-kernel@x) (gcc-12)", Said("kernel", "6.1.0-56-amd64")),
    (b"oc\x1b[?7l\x1b[2J[    0.000000] Linux version 6.1.0 (x)", Said("kernel", "6.1.0")),
    (b"[    4.1] nb: phase=kernel ms=4130 detail=6.1.0-56-amd64", Said("init", "6.1.0-56-amd64")),
    (b"[    5.2] nb: phase=network ms=5210 detail=eth0 10.0.2.15/24", Said("network", "eth0 10.0.2.15/24")),
    (b"nb: phase=switch ms=9000 detail=", Said("switch", "")),
    (b"[   22] nb: error=NB-DHCP ms=21874 detail=no DHCP server on eth0", Failed("NB-DHCP", "no DHCP server on eth0")),
    (b"[    1.0] Kernel panic - not syncing: VFS: no root", Failed("panic", "VFS: no root")),
    (b"[    1.0] snb: phase=x ms=1 detail=", None),
    (b"nb: phase= ms=1 detail=x", None),
    (b"monorail-micro login: ", None),
    (b"\xff\xfe\x00", None),
    (b"", None),
]


@pytest.mark.parametrize(("line", "event"), LINES, ids=lambda value: repr(value)[:50])
def test_a_line_means_what_the_table_says(line: bytes, event: Said | Failed | None) -> None:
    assert Console().feed(line + b"\r\n") == ([event] if event else [])


def test_pieces_may_end_anywhere() -> None:
    whole = b"".join(line + b"\r\n" for line, _ in LINES)
    console = Console()
    events = [event for at in range(len(whole)) for event in console.feed(whole[at : at + 1])]
    assert events == [event for _, event in LINES if event]


def test_a_line_that_is_not_finished_means_nothing_yet() -> None:
    console = Console()
    assert console.feed(b"nb: phase=network ms=1 detail=eth") == []
    assert console.feed(b"0\n") == [Said("network", "eth0")]


def test_the_last_lines_are_kept_clean_and_without_empty_ones() -> None:
    console = Console()
    console.feed(b"".join(b"\x1b[32mline %d\x1b[0m\r\n\r\n" % number for number in range(100)) + b"half a li")
    assert console.tail.splitlines() == [*(f"line {number}" for number in range(70, 100)), "half a li"]
