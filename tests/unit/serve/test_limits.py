"""What strangers, slow clients and the end of a server meet, over real sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from builds import PROGRAM
from imagebuilder.serve.operator import Operator
from imagebuilder.store.layout import Blob, Layout
from serving import BIG, HUGE, BootServer, blob_path, boot_server, impatient_server, serving_app


def _told(server: BootServer, data: bytes) -> bytes:
    """What a server answers to raw bytes until it hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: x\r\n" % n for n in range(100)) + b"\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
    ids=["long line", "long header", "many headers", "TLS"],
)
def test_head_that_is_none_or_too_large_is_refused(server: BootServer, head: bytes) -> None:
    assert _told(server, head).startswith(b"HTTP/1.1 400 ") or _told(server, head).startswith(b"HTTP/1.0 400 ")
    assert server.get("/v2/").status == 200


@pytest.mark.parametrize("drip", [b"", b"GET /v2/ HT"], ids=["silence", "half a head"])
def test_who_does_not_finish_a_head_is_cut_off(layout: Layout, drip: bytes) -> None:
    with impatient_server(layout.root) as server:
        began = time.monotonic()
        assert _told(server, drip) == b""
        assert 0.5 < time.monotonic() - began < 5


def test_head_that_drips_in_is_cut_off_too(layout: Layout) -> None:
    with impatient_server(layout.root) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        for count, letter in enumerate(b"GET /" + b"x" * 50):
            try:
                connection.sendall(bytes([letter]))
            except OSError:
                assert count > 5
                return
            time.sleep(0.1)
    raise AssertionError("a head may take for ever")


def test_body_that_drips_in_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagebuilder.serve.body._SECONDS", 0.5)
    with serving_app(Operator().routes()) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = b"POST /api/1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
        connection.sendall(head)
        connection.settimeout(0.1)
        answer, began = b"", time.monotonic()
        while not answer:
            assert time.monotonic() < began + 5, "a body may take for ever"
            connection.sendall(b" ")
            with suppress(TimeoutError):
                answer = connection.recv(100)
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_body_without_an_announced_end_is_not_taken_for_ever() -> None:
    with serving_app(Operator().routes()) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = b"POST /api/1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"400\r\n%s\r\n" % (b" " * 0x400))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_who_does_not_take_what_is_sent_is_cut_off(layout: Layout) -> None:
    with impatient_server(layout.root) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {blob_path(bytes(HUGE))} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.recv(1)
        deadline = time.monotonic() + 15
        while _connections(server.port):
            assert time.monotonic() < deadline, "the server holds on to a client that takes nothing"
            time.sleep(0.2)


def _connections(port: int) -> int:
    """Established connections that the kernel holds for a server's port."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "01" for row in rows)


def test_transfer_that_runs_is_finished_before_the_server_stops(layout: Layout) -> None:
    with boot_server(layout.root) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {blob_path(bytes(HUGE))} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = len(connection.recv(1000))
        server.process.terminate()
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        while piece := connection.recv(1 << 20):
            received += len(piece)
        assert received > HUGE
        assert server.process.wait(10) == 0
        server.line("stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_server_with_idle_connections_stops_at_once(layout: Layout, number: signal.Signals) -> None:
    with boot_server(layout.root) as server, socket.create_connection(("127.0.0.1", server.port)):
        server.process.send_signal(number)
        assert server.process.wait(5) == 0


def test_transfer_that_takes_too_long_does_not_hold_up_the_end(layout: Layout) -> None:
    with impatient_server(layout.root) as server, socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {blob_path(bytes(HUGE))} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        connection.recv(1)
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 6


def test_many_nodes_at_once_all_get_the_whole_blob(server: BootServer) -> None:
    wrong: list[int] = []

    def fetch(number: int) -> None:
        if server.get(blob_path(BIG)).body != BIG:
            wrong.append(number)

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_node_that_hangs_up_is_no_news(layout: Layout) -> None:
    with boot_server(layout.root) as server:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(f"GET {blob_path(bytes(HUGE))} HTTP/1.0\r\n\r\n".encode())
                connection.recv(1)
        time.sleep(0.2)
        assert server.get("/v2/").status == 200
        server.stop()
        server.line("stopped")
        assert [line.split()[0] for line in server.said] == ["the", "serving", "stopped"], server.said


def test_port_that_is_taken_is_said(server: BootServer, layout: Layout, tmp_path: Path) -> None:
    argv: list[str | Path] = [PROGRAM, "serve", "--bind", "127.0.0.1", "--port", str(server.port)]
    argv += ["--store", layout.root, "--cache", tmp_path]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"error: port {server.port} of 127.0.0.1 is taken" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ["--bind", "192.0.2.1"],
        ["--port", "70000"],
        ["--image", "a b"],
        ["--append", "a\nb"],
        ["--address", "a b"],
        ["--builds", "/none"],
    ],
    ids=str,
)
def test_wrong_arguments_are_the_users_mistake(wrong: list[str], tmp_path: Path) -> None:
    argv: list[str | Path] = [PROGRAM, "serve", "--port", "0", "--store", str(tmp_path), *wrong]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2, done.stderr


def test_blob_that_gc_takes_meanwhile_is_still_delivered(layout: Layout, server: BootServer) -> None:
    blob: Blob = layout.put(os.urandom(30_000_000))
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET /blobs/sha256/{blob.sha256} HTTP/1.0\r\n\r\n".encode())
        received = len(connection.recv(1000))
        layout.path(blob.sha256).unlink()
        while piece := connection.recv(1 << 20):
            received += len(piece)
    assert received > blob.size
    assert server.get(f"/blobs/sha256/{blob.sha256}").status == 404
