"""Status and events, over real sockets: what is told, when, and to whom."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.serve.identity import Identity
from imagebuilder.serve.state import nodes, tasks
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.tasks import Order
from imagebuilder.store.layout import Layout
from serving import MAC, BootServer, boot_server
from stores import add_image

RECORD = {"Content_Type": "application/x-ndjson"}
_NUMBERS = itertools.count(200)
NODES = "profiles: {all: {image: discovery}}\n"


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("live") / "store")
    layout.prepare()
    add_image(layout, "discovery:latest", "x")
    add_image(layout, "large:latest", "z" * 30_000_000)
    return layout


@pytest.fixture(scope="module")
def server(layout: Layout) -> Iterator[BootServer]:
    with boot_server(layout.root, "--image", "discovery") as server:
        yield server


@pytest.fixture
def mac() -> str:
    """The address of a node that nobody has seen."""
    return f"52:54:00:00:00:{next(_NUMBERS):02x}"


def status(server: BootServer) -> Any:
    answer = server.get("/api/1/status", **server.operator)
    assert answer.status == 200
    return json.loads(answer.body)


def row_of(server: BootServer, mac: str) -> Any:
    return next(row for row in status(server)["nodes"] if row["node"] == mac)


def token_of(server: BootServer, mac: str) -> str:
    match = re.search(rb"nb\.report=/report/([0-9a-f]{24})", server.get(f"/boot.ipxe?mac={mac}").body)
    assert match
    return match[1].decode()


def report(server: BootServer, token: str, *phases: dict[str, Any]) -> None:
    body = "".join(json.dumps({"ms": 1000, **phase}) + "\n" for phase in phases).encode()
    assert server.ask("POST", f"/report/{token}", body, **RECORD).status == 204


class Stream:
    """Events as they come."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer
        self.last = ""

    def next(self) -> tuple[str, Any]:
        """The next event and its value."""
        event: dict[str, str] = {}
        while True:
            line = self.answer.readline().decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, value = line.split(": ", 1)
                event[name] = value
            elif "event" in event:
                self.last = event["id"]
                return event["event"], json.loads(event["data"])

    def until(self, wanted: str) -> Any:
        """The value of the next event of a name."""
        while True:
            name, value = self.next()
            if name == wanted:
                return value

    def row(self, mac: str) -> Any:
        """What is told next of a node."""
        while True:
            rows = [row for row in self.until("nodes")["nodes"] if row["node"] == mac]
            if rows:
                return rows[0]


@contextmanager
def stream(server: BootServer, after: str, **headers: str) -> Iterator[Stream]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", f"/api/1/events?after={after}", headers={**server.operator, **headers})
    try:
        yield Stream(connection.getresponse())
    finally:
        connection.close()


def test_only_the_operator_looks(server: BootServer) -> None:
    assert server.get("/api/1/status").status == 401
    assert server.get("/api/1/events").status == 401


def test_status_says_how_far_each_node_is(server: BootServer, mac: str) -> None:
    token = token_of(server, mac)
    row = row_of(server, mac)
    assert (row["node"], row["state"], row["image"], row["boot"]) == (mac, "discovered", "discovery:latest", 1)
    report(server, token, {"phase": "kernel"}, {"phase": "fetch", "bytes": 4, "ms": 2500})
    row = row_of(server, mac)
    size = len(b"kernel") + len(b"initrd")
    assert (row["state"], row["phase"], row["ms"]) == ("booting", "fetch", 2500)
    assert (row["bytes"], row["total"]) == (size + 4, size + len(b"base") + len(b"x"))
    report(server, token, {"phase": "kernel"}, {"phase": "fetch"}, {"phase": "error", "code": "NB-DIGEST"})
    row = row_of(server, mac)
    assert (row["state"], row["code"]) == ("failed", "NB-DIGEST")
    assert status(server)["explanations"]["NB-DIGEST"]["look_at"]
    token_of(server, mac)
    assert row_of(server, mac)["state"] == "script"


def test_each_step_is_told_as_it_happens(server: BootServer, mac: str) -> None:
    with stream(server, status(server)["event"]) as events:
        token = token_of(server, mac)
        seen = []
        for phase in ("", "kernel", "switch"):
            if phase:
                report(server, token, {"phase": "kernel"}, *([{"phase": phase}] if phase != "kernel" else []))
            began = time.monotonic()
            row = events.row(mac)
            assert time.monotonic() - began < 1
            seen.append(row["state"])
        server.get(f"/api/current/tasks/bootstrap.js?macAddress={mac}&token={token}")
        row = events.row(mac)
        assert [*seen, row["state"]] == ["discovered", "booting", "started", "ready"]
        assert any(task["kind"] == "inventory" for task in events.until("tasks")["tasks"])


def test_many_changes_are_told_together(server: BootServer) -> None:
    with stream(server, status(server)["event"]) as events:
        count, met = 0, set[str]()
        for number in range(200):
            server.get(f"/boot.ipxe?mac=52:54:00:00:00:{number:02x}")
        while len(met) < 200:
            met |= {row["node"] for row in events.until("nodes")["nodes"]}
            count += 1
        assert count < 40


def test_browser_that_was_away_hears_what_it_missed_or_begins_anew(server: BootServer, mac: str) -> None:
    with stream(server, status(server)["event"]) as events:
        token = token_of(server, mac)
        events.row(mac)
        place = events.last
    report(server, token, {"phase": "kernel"})
    with stream(server, "", **{"Last-Event-ID": place}) as events:
        assert events.row(mac)["phase"] == "kernel"
    with stream(server, "0badbeef-7") as events:
        assert events.next()[0] == "reset"


def test_task_of_another_program_is_told(layout: Layout, server: BootServer, mac: str) -> None:
    token_of(server, mac)
    with stream(server, status(server)["event"]) as events:
        database = Database(str(layout.root.parent / "cache/serve/state.sqlite"))
        node = database.do(lambda connection: nodes.find(connection, Identity(mac=mac)))
        assert node
        database.do(lambda connection: tasks.queue(connection, node.id, Order("x" * 300), int(time.time())))
        database.close()
        told = events.until("tasks")
        while node.id not in [task["node"] for task in told["tasks"]]:
            told = events.until("tasks")
        (task,) = told["tasks"]
        assert (task["node"], task["command"], task["state"]) == (node.id, "x" * 200, "queued")
        assert told["open_tasks"]["queued"] >= 1


def test_error_in_nodes_yml_is_told_and_taken_back(layout: Layout) -> None:
    path = layout.root.parent / "nodes.yml"
    path.write_text(NODES)
    with boot_server(layout.root, "--nodes", path) as server:
        server.get(f"/boot.ipxe?mac={MAC}")
        first = status(server)
        assert first["nodes"][0]["state"] == "discovered"
        with stream(server, first["event"]) as events:
            path.write_text(NODES + "default: al\n")
            assert "there is no profile `al`" in events.until("problem")
            assert "there is no profile `al`" in status(server)["problem"]
            path.write_text(NODES + f'nodes: [{{mac: "{MAC}", name: r1n7, profile: all}}]\n')
            events.until("reset")
            assert status(server)["problem"] == ""
        row = row_of(server, MAC)
        assert (row["name"], row["profile"]) == ("r1n7", "all")


def test_image_that_is_new_is_told(layout: Layout, server: BootServer) -> None:
    with stream(server, status(server)["event"]) as events:
        add_image(layout, "raid:latest", "y")
        assert events.until("images") == {}


def test_file_under_way_moves_its_node(layout: Layout, tmp_path: Path) -> None:
    with boot_server(layout.root, "--image", "large", "--state", tmp_path / "state.sqlite") as server:
        report(server, token_of(server, MAC), {"phase": "kernel"})
        manifest = json.loads(layout.read(row_of(server, MAC)["manifest"].removeprefix("sha256:")))
        overlay = next(layer["digest"] for layer in manifest["layers"] if layer["size"] == 30_000_000)
        with stream(server, status(server)["event"]) as events, socket.socket() as node:
            node.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            node.connect(("127.0.0.1", server.port))
            node.sendall(f"GET /blobs/{overlay.replace(':', '/')} HTTP/1.0\r\n\r\n".encode())
            came = 0
            while came < 5_000_000:
                came += len(node.recv(65536))
            ((_, count, rate),) = events.until("progress")
            assert 4_999_000 <= count < 12_000_000
            assert rate >= 0
            assert row_of(server, MAC)["bytes"] >= count
            token_of(server, "52:54:00:00:00:99")  # of two at one address nobody knows whose bytes they are
            assert row_of(server, MAC)["bytes"] == len(b"kernel") + len(b"initrd")
            node.close()
            began = time.monotonic()
            with stream(server, events.last):
                assert server.stop() == 0
            assert time.monotonic() - began < 5  # with browsers looking
