"""The HTTP server that a booting node talks to, asked over real sockets."""

from __future__ import annotations

import http.client
import json
import os
import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imagebuilder.boot import peer

CONTENT = os.urandom(1_000_000)
SIZE = len(CONTENT)
MAC = "52:54:00:00:00:01"
TASKS = ({"cmd": "uname -a"},)
TASKS_PATH = f"/api/current/tasks/{peer.NODE}"
BOOTSTRAP = f"/api/current/tasks/bootstrap.js?macAddress={MAC}"


@dataclass
class Client:
    port: int
    events: queue.SimpleQueue[peer.PeerEvent] = field(default_factory=queue.SimpleQueue)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    folder = tmp_path / "builds"
    folder.mkdir()
    (folder / "base.img").write_bytes(CONTENT)
    (folder / "empty").touch()
    (folder / ".lock").write_text("hidden")
    (folder / "folder").mkdir()
    (tmp_path / "outside").write_text("secret")
    events: queue.SimpleQueue[peer.PeerEvent] = queue.SimpleQueue()

    def describe(port: int) -> peer.Content:
        return peer.Content(folder, {"/boot.ipxe": f"#!ipxe {port}".encode()}, frozenset({MAC}), TASKS)

    with peer.serve(describe, events.put) as port:
        yield Client(port, events)


def test_an_artifact_comes_whole(client: Client) -> None:
    status, body, headers = client.ask("GET", "/base.img")
    assert (status, body) == (200, CONTENT)
    assert headers["Accept-Ranges"] == "bytes"


def test_head_says_the_size_and_sends_nothing(client: Client) -> None:
    status, body, headers = client.ask("HEAD", "/base.img")
    assert (status, body, headers["Content-Length"]) == (200, b"", str(SIZE))


def test_an_empty_artifact_is_an_empty_answer(client: Client) -> None:
    assert client.ask("GET", "/empty")[:2] == (200, b"")


RANGES = [
    ("bytes=0-0", 206, slice(0, 1)),
    ("bytes=0-99", 206, slice(0, 100)),
    ("bytes=500000-", 206, slice(500000, SIZE)),
    (f"bytes={SIZE - 1}-", 206, slice(SIZE - 1, SIZE)),
    ("bytes=999990-2000000", 206, slice(999990, SIZE)),
    ("bytes=-10", 206, slice(SIZE - 10, SIZE)),
    ("bytes=-2000000", 206, slice(0, SIZE)),
    ("bytes=5-4", 200, slice(0, SIZE)),
    ("bytes=0-1,5-6", 200, slice(0, SIZE)),
    ("bytes=-", 200, slice(0, SIZE)),
    ("octets=0-1", 200, slice(0, SIZE)),
    ("bytes=a-b", 200, slice(0, SIZE)),
]


@pytest.mark.parametrize(("wanted", "status", "part"), RANGES, ids=str)
def test_a_range_is_answered_with_just_that(client: Client, wanted: str, status: int, part: slice) -> None:
    got, body, headers = client.ask("GET", "/base.img", Range=wanted)
    assert (got, body) == (status, CONTENT[part])
    if status == 206:
        assert headers["Content-Range"] == f"bytes {part.start}-{part.stop - 1}/{SIZE}"


@pytest.mark.parametrize("wanted", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(client: Client, wanted: str) -> None:
    status, body, headers = client.ask("GET", "/base.img", Range=wanted)
    assert (status, body, headers["Content-Range"]) == (416, b"", f"bytes */{SIZE}")


def test_an_interrupted_download_goes_on_where_it_stopped(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=10)
    connection.request("GET", "/base.img")
    first = connection.getresponse().read(123_456)
    connection.close()
    assert first + client.ask("GET", "/base.img", Range=f"bytes={len(first)}-")[1] == CONTENT


@pytest.mark.parametrize(
    "path",
    ["/missing", "/folder", "/", "/.lock", "/../outside", "/folder/../base.img", "/%2e%2e/outside", "//etc/passwd"],
)
def test_nothing_but_finished_artifacts_can_be_had(client: Client, path: str) -> None:
    status, body, _ = client.ask("GET", path)
    assert status == 404
    assert b"secret" not in body


def test_a_document_knows_the_port(client: Client) -> None:
    assert client.ask("GET", "/boot.ipxe")[:2] == (200, f"#!ipxe {client.port}".encode())


@pytest.mark.parametrize("version", ["current", "common", "1.1", "2.0"])
def test_the_tasks_of_a_known_card_are_where_bootstrap_says(client: Client, version: str) -> None:
    status, body, _ = client.ask("GET", BOOTSTRAP.replace("current", version))
    assert status == 200
    path = json.loads(body)["tasksPath"]
    assert path == TASKS_PATH.replace("current", version)
    assert json.loads(client.ask("GET", path)[1]) == {"identifier": peer.NODE, "tasks": list(TASKS)}
    assert (client.events.get(timeout=5), client.events.get(timeout=5)) == (peer.AgentSeen(MAC), peer.TaskGiven())


@pytest.mark.parametrize("mac", ["52-54-00-00-00-01", "52:54:00:00:00:02", ""])
def test_an_unknown_card_has_no_tasks(client: Client, mac: str) -> None:
    assert client.ask("GET", f"/api/current/tasks/bootstrap.js?macAddress={mac}")[0] == 404
    assert client.events.empty()


def test_tasks_are_given_until_their_result_has_come(client: Client) -> None:
    result = {"identifier": peer.NODE, "tasks": [{"cmd": "uname -a", "stdout": "Linux\n", "error": None}]}
    assert [client.ask("GET", TASKS_PATH)[0] for _ in range(2)] == [200, 200]
    assert client.ask("POST", TASKS_PATH, json.dumps(result).encode())[:2] == (201, b"")
    assert client.ask("GET", TASKS_PATH)[0] == 404
    events = [client.events.get(timeout=5) for _ in range(3)]
    assert events[-1] == peer.ResultPosted(({"cmd": "uname -a", "stdout": "Linux\n", "error": None},))


def test_an_artifact_is_told_of_when_it_is_asked_for_and_when_it_has_left(client: Client) -> None:
    assert [client.ask("GET", path)[0] for path in ("/missing", "/base.img")] == [404, 200]
    events = [client.events.get(timeout=5) for _ in range(2)]
    assert events == [peer.FileAsked("base.img"), peer.FileSent("base.img")]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (TASKS_PATH, b"not json", 400),
        (TASKS_PATH, b"[]", 400),
        (TASKS_PATH, b'{"tasks": 1}', 400),
        ("/api/current/tasks/other", b"{}", 404),
        ("/base.img", b"{}", 404),
        (TASKS_PATH, b"x" * 10_000_001, 413),
    ],
    ids=["no JSON", "no object", "no tasks", "another node", "no tasks path", "too large"],
)
def test_a_result_that_is_none_is_refused(client: Client, path: str, body: bytes, status: int) -> None:
    try:
        assert client.ask("POST", path, body)[0] == status
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413  # the server hung up before it had read all
    assert client.events.empty()
    assert client.ask("GET", TASKS_PATH)[0] == 200
