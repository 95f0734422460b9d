"""What the journal holds arrives at the syslog server as BSD syslog, a datagram a line."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from node_agent import PROGRAMS

_JOURNALCTL = '#!/bin/sh\ncat "$JOURNAL"\nexec sleep 60\n'
_TIME = 1_700_000_003_000_001  # microseconds: 14 November 2023, 22:13:23 UTC
_STAMP = "Nov 14 22:13:23"


class Node:
    """A node whose journal holds what a test says; `socket` is its syslog server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(10)
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "journalctl").write_text(_JOURNALCTL)
        (folder / "journalctl").chmod(0o755)

    def forward(self, *entries: Mapping[str, object], to: str | None = None) -> subprocess.Popen[bytes]:
        server = to if to is not None else f"127.0.0.1:{self.socket.getsockname()[1]}"
        (self.folder / "boot.env").write_text(f"SYSLOGSERVER='{server}'\n")
        lines = [json.dumps({"__REALTIME_TIMESTAMP": str(_TIME), "_HOSTNAME": "node", **entry}) for entry in entries]
        (self.folder / "journal").write_text("\n".join(lines) + "\n")
        environment = {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "JOURNAL": str(self.folder / "journal"),
            "BOOT_PARAMETERS": str(self.folder / "boot.env"),
        }
        self._process = subprocess.Popen([PROGRAMS / "forward-syslog"], env=environment, start_new_session=True)
        return self._process

    def heard(self) -> str:
        return self.socket.recv(65536).decode()

    def close(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.socket.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.close()


ENTRIES = [
    (
        {"PRIORITY": "4", "SYSLOG_FACILITY": "19", "SYSLOG_IDENTIFIER": "probe", "MESSAGE": "hello", "_PID": "7"},
        f"<156>{_STAMP} node probe[7]: hello",
    ),
    (
        {"PRIORITY": "5", "_TRANSPORT": "kernel", "SYSLOG_IDENTIFIER": "kernel", "MESSAGE": "Linux version 6"},
        f"<5>{_STAMP} node kernel: Linux version 6",
    ),
    ({"_COMM": "agent", "MESSAGE": "two\nlines\ttab"}, f"<30>{_STAMP} node agent: two#012lines\ttab"),
    ({"SYSLOG_IDENTIFIER": "x", "SYSLOG_PID": "1", "_PID": "2", "MESSAGE": "öl"}, f"<30>{_STAMP} node x[1]: öl"),
    ({"SYSLOG_IDENTIFIER": "x", "MESSAGE": [104, 255, 105]}, f"<30>{_STAMP} node x: h?i"),
    ({"SYSLOG_IDENTIFIER": "x", "MESSAGE": None}, f"<30>{_STAMP} node x: "),
    ({"MESSAGE": "100% \\n 'x'"}, f"<30>{_STAMP} node unknown: 100% \\n 'x'"),
]


@pytest.mark.parametrize(("entry", "datagram"), ENTRIES, ids=lambda value: str(value)[:40])
def test_an_entry_becomes_a_datagram(node: Node, entry: dict[str, object], datagram: str) -> None:
    node.forward(entry)
    assert node.heard() == datagram


def test_every_entry_is_a_datagram_of_its_own_in_order(node: Node) -> None:
    node.forward(*({"MESSAGE": f"line {number}"} for number in range(200)))
    assert [node.heard().rpartition(": ")[2] for _ in range(200)] == [f"line {number}" for number in range(200)]


def test_a_long_entry_is_cut_to_one_datagram(node: Node) -> None:
    node.forward({"MESSAGE": "x" * 20_000}, {"MESSAGE": "next"})
    assert node.heard().endswith(": " + "x" * 1900)
    assert node.heard().endswith(": next")


def test_a_server_that_refuses_does_not_stop_it(node: Node, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
    process = node.forward(*({"MESSAGE": f"line {number}"} for number in range(50)), to=f"127.0.0.1:{port}")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)


def test_without_a_server_it_ends_quietly(node: Node) -> None:
    assert node.forward({"MESSAGE": "x"}, to="").wait(10) == 0
