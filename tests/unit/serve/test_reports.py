"""What nodes report of their boots, over real sockets."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from imagebuilder.cli.main import main
from imagebuilder.serve.reports import parse_record
from imagebuilder.store.layout import Layout
from serving import MAC, BootServer, boot_server

RECORD = {"Content_Type": "application/x-ndjson"}
LOG = {"Content_Type": "text/plain"}


@pytest.fixture
def layout(small_store: Layout) -> Layout:
    return small_store


@pytest.fixture
def server(layout: Layout) -> Iterator[BootServer]:
    with boot_server(layout.root, "--image", "discovery") as server:
        yield server


def token_of(server: BootServer, mac: str = MAC) -> str:
    """Ask for a boot script; the token that it carries."""
    match = re.search(rb"nb\.report=/report/([0-9a-f]{24})", server.get(f"/boot.ipxe?mac={mac}").body)
    assert match
    return match[1].decode()


def line(phase: str, ms: int, **more: Any) -> bytes:
    return json.dumps({"node": MAC, "manifest": "", "phase": phase, "ms": ms, **more}).encode() + b"\n"


def history(layout: Layout, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `imagebuilder node show` knows of the node."""
    (layout.root.parent / "nodes.yml").write_text("profiles: {a: {image: discovery}}\ndefault: a\n")
    places = ["--cache", str(layout.root.parent / "cache"), "--store", str(layout.root)]
    assert main(["node", "show", MAC, "--json", "--nodes", str(layout.root.parent / "nodes.yml"), *places]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return value


def test_record_and_log_can_be_read_while_the_server_runs(
    layout: Layout, server: BootServer, capsys: pytest.CaptureFixture[str]
) -> None:
    path = f"/report/{token_of(server)}"
    begun = line("kernel", 100) + line("fetch", 4000, bytes=12)
    failed = line("error", 4100, code="NB-DIGEST", detail="base is damaged")
    assert server.ask("POST", path, begun, **RECORD).status == 204
    assert server.ask("POST", path, begun + failed, **RECORD).status == 204
    assert server.ask("POST", path, begun + failed, **RECORD).status == 204
    assert server.ask("POST", path, b"nb: error\n", **LOG).status == 204
    assert server.line("NB-DIGEST") == f"{MAC}: NB-DIGEST: base is damaged"
    shown = history(layout, capsys)
    assert [(event["phase"], event["ms"], event["bytes"]) for event in shown["events"]] == [
        ("kernel", 100, 0),
        ("fetch", 4000, 12),
        ("error", 4100, 0),
    ]
    assert (shown["boots"][0]["code"], shown["boots"][0]["log"]) == ("NB-DIGEST", "nb: error\n")


def test_what_was_acknowledged_is_there_after_a_kill(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    with boot_server(layout.root, "--image", "discovery") as server:
        token = token_of(server)
        assert server.ask("POST", f"/report/{token}", line("kernel", 100), **RECORD).status == 204
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    assert [event["phase"] for event in history(layout, capsys)["events"]] == ["kernel"]
    with boot_server(layout.root, "--image", "discovery") as server:
        more = line("kernel", 100) + line("network", 200)
        assert server.ask("POST", f"/report/{token}", more, **RECORD).status == 204
    assert [event["phase"] for event in history(layout, capsys)["events"]] == ["kernel", "network"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 400),
        (b"[]", 400),
        (b'{"phase": 1}', 400),
        (b'{"phase": ""}', 400),
        (b'{"phase": "a", "ms": -1}', 400),
        (b'{"phase": "a", "ms": true}', 400),
        (b'{"phase": "a", "ms": 1e400}', 400),
        (b'{"phase": "a", "bytes": 99999999999999999999}', 400),
        (b"\xff", 400),
        (line("a", 1) * 1001, 400),
        (b"[" * 100_000, 400),
        (b"x" * 1_500_000, 413),
    ],
    ids=lambda value: str(value)[:20],
)
def test_record_that_is_none_is_refused(server: BootServer, body: bytes, status: int) -> None:
    path = f"/report/{token_of(server)}"
    try:
        assert server.ask("POST", path, body, **RECORD).status == status
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413
    assert server.ask("POST", path, line("kernel", 1), **RECORD).status == 204


def test_report_without_a_boot_is_refused(server: BootServer) -> None:
    assert server.ask("POST", f"/report/{'0' * 24}", line("kernel", 1), **RECORD).status == 404
    assert server.ask("POST", f"/report/{'0' * 24}", b"x", **LOG).status == 404
    assert server.ask("POST", "/report/x", line("kernel", 1), **RECORD).status == 404
    assert server.ask("POST", f"/report/{token_of(server)}", b"x", Content_Type="text/html").status == 415


def test_text_of_nodes_is_made_harmless() -> None:
    (event,) = parse_record(b'{"phase": "a", "detail": "\\u001b[31m\\u0000red", "code": ""}')
    assert event.detail == "[31mred"


def test_looking_at_a_script_is_no_boot(layout: Layout, server: BootServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert server.ask("HEAD", f"/boot.ipxe?mac={MAC}").status == 200
    assert history(layout, capsys)["boots"] == []


def test_nodes_boot_when_the_state_cannot_be_written(layout: Layout, server: BootServer) -> None:
    with closing(sqlite3.connect(layout.root.parent / "cache/serve/state.sqlite")) as connection:
        connection.execute("DROP TABLE boots")
    script = server.get(f"/boot.ipxe?mac={MAC}").body
    assert b"MANIFEST=/v2/discovery/" in script
    assert b"nb.report" not in script
    assert "cannot be used: no such table: boots" in server.line("the state in")
