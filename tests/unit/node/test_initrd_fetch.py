"""Fetching on a bad day: servers that fall silent, break off, lie about lengths or serve something else."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from initrd_shell import FAILED, run_shell

CONTENT = bytes(range(256)) * 4000
HALF = len(CONTENT) // 2


class _Handler(BaseHTTPRequestHandler):
    """Each path misbehaves in its own way; `NAME.once` does so for the first request only."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        trouble, _, once = self.path.strip("/").partition(".")
        well = once == "once" and self.server.requests[self.path] > 1
        if trouble.isdecimal() and not well:
            self._answer(int(trouble), b"no\n", 3)
        elif self.path.endswith("/SHA256SUMS"):
            known = self.server.sums
            self._answer(200 if known else 404, known.encode(), len(known))
        else:
            self._content("" if well else trouble)

    def _content(self, trouble: str) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[6:].rstrip("-"))
        self.server.starts.append(start)
        length = None if trouble == "nolength" else len(CONTENT) - start
        sent = CONTENT[start : start + HALF] if trouble in ("silent", "broken", "nolength") else CONTENT[start:]
        self._answer(206 if start else 200, sent, length)
        if trouble == "silent":
            self.wfile.flush()
            time.sleep(5)

    def _answer(self, status: int, body: bytes, length: int | None) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Counts requests by path, and keeps where each transfer began."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: Counter[str] = Counter()
        self.starts: list[int] = []
        self.sums = ""
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is what some of the tests want."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.shutdown()


def _fetch(server: Server, folder: Path, name: str) -> tuple[int, str]:
    result = run_shell(f"fetch {server.url}/{name} {folder}/file", folder)
    assert result.stderr in ("", "Terminated\n")  # the shell tells that it ended a silent transfer
    return result.returncode, result.stdout


def test_whole_file_arrives(server: Server, tmp_path: Path) -> None:
    assert _fetch(server, tmp_path, "file") == (0, "")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("trouble", ["broken.once", "silent.once"])
def test_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path, trouble: str) -> None:
    status, said = _fetch(server, tmp_path, trouble)
    assert (status, (tmp_path / "file").read_bytes() == CONTENT) == (0, True)
    assert server.starts == [0, HALF]
    assert "try 1 of 8" in said


def test_server_that_comes_back_is_waited_for(server: Server, tmp_path: Path) -> None:
    status, said = _fetch(server, tmp_path, "503.once")
    assert (status, (tmp_path / "file").read_bytes() == CONTENT) == (0, True)
    assert "503 Service Unavailable, try 1 of 8" in said


@pytest.mark.parametrize(
    ("name", "error", "requests"),
    [("404", "NB-NOT-FOUND", 1), ("410", "NB-NOT-FOUND", 1), ("403", "NB-FETCH", 1), ("500", "NB-FETCH", 8)],
)
def test_refusal_ends_the_boot_at_once_and_trouble_after_eight_tries(
    server: Server, tmp_path: Path, name: str, error: str, requests: int
) -> None:
    status, said = _fetch(server, tmp_path, name)
    assert (status, server.requests[f"/{name}"]) == (FAILED, requests)
    assert f"error={error} detail=" in said
    assert f"{server.url}/{name}" in said.splitlines()[-1]


def test_nobody_there_is_told_with_the_reason(tmp_path: Path) -> None:
    result = run_shell(f"fetch http://127.0.0.1:9/file {tmp_path}/file", tmp_path)
    assert result.returncode == FAILED
    assert "Connection refused, try 8 of 8" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(("name", "size"), [("file", len(CONTENT)), ("nolength", 0)])
def test_length_is_asked_for_without_the_content(server: Server, tmp_path: Path, name: str, size: int) -> None:
    assert run_shell(f"remote_size {server.url}/{name}", tmp_path).stdout == f"{size}\n"


def _check(server: Server, folder: Path, sums: str) -> tuple[int, str]:
    server.sums = sums
    (folder / "file").write_bytes(CONTENT)
    result = run_shell(f"check_digest '{server.url}/common/base.img?token=1' {folder}/file", folder)
    return result.returncode, result.stdout


GOOD = hashlib.sha256(CONTENT).hexdigest()
BAD = hashlib.sha256(b"").hexdigest()


@pytest.mark.parametrize("line", [f"{GOOD}  base.img", f"{GOOD} *base.img", f"{GOOD}  ./base.img"])
def test_digest_that_fits_lets_the_boot_go_on(server: Server, tmp_path: Path, line: str) -> None:
    status, said = _check(server, tmp_path, f"{BAD}  other\n{line}\n")
    assert status == 0
    assert f"detail=base.img sha256:{GOOD}" in said


def test_digest_that_does_not_fit_ends_the_boot(server: Server, tmp_path: Path) -> None:
    status, said = _check(server, tmp_path, f"{BAD}  base.img\n")
    assert status == FAILED
    assert f"error=NB-DIGEST detail={server.url}/common/base.img?token=1 has sha256 {GOOD}, but" in said


@pytest.mark.parametrize("sums", ["", f"{BAD}  base.img.old\n{BAD}  x-base.img\n"])
def test_bytes_that_nothing_vouches_for_are_called_unchecked(server: Server, tmp_path: Path, sums: str) -> None:
    status, said = _check(server, tmp_path, sums)
    assert status == 0
    assert "detail=UNCHECKED base.img: no SHA256SUMS beside it names it" in said


def test_sums_that_the_server_cannot_give_end_the_boot(server: Server, tmp_path: Path) -> None:
    result = run_shell(f"fetch_sums {server.url}/500 {tmp_path}/sums", tmp_path)
    assert result.returncode == FAILED
    assert "error=NB-FETCH" in result.stdout


def test_sums_are_fetched_once_for_all_layers_of_a_folder(server: Server, tmp_path: Path) -> None:
    server.sums = f"{GOOD}  a\n{GOOD}  b\n"
    (tmp_path / "file").write_bytes(CONTENT)
    checks = "".join(f"check_digest {server.url}/common/{name} {tmp_path}/file\n" for name in "ab")
    assert run_shell(checks, tmp_path).stdout.count(GOOD) == 2
    assert server.requests["/common/SHA256SUMS"] == 1
