"""An HTTP server that misbehaves as it is told, path by path."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong with a path, the first `times` times that it is asked for.

    `sent` is how many bytes of the body come before the connection ends, with a reset or by a silence of
    `silent` seconds; `length` is what Content-Length says instead of the truth ("" for no such header).
    """

    times: float = float("inf")
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Callable[[bytes], bytes] = lambda body: body
    sent: int | None = None
    silent: float = 0
    length: str | None = None
    whole: bool = False
    """Answers a Range with 200 and everything."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hostile

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked[path] += 1
        trouble = self.server.trouble(path)
        content = self.server.files.get(path)
        if trouble.status != 200:
            self._answer(trouble.status, b"no\n", trouble)
        elif content is None:
            self._answer(404, b"no such file\n", trouble)
        else:
            self._content(trouble.body(content), trouble)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append((self.headers["Content-Type"], body))
        trouble = self.server.troubles.get(self.path, Trouble())
        time.sleep(trouble.silent)
        self._answer(trouble.status, b"", trouble)

    def _content(self, content: bytes, trouble: Trouble) -> None:
        start = 0 if trouble.whole else int((self.headers.get("Range") or "bytes=0-")[6:].partition("-")[0])
        self.server.starts.append((self.path, start))
        if start and start >= len(content):
            self._answer(416, b"", trouble)
        else:
            rest = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
            self._answer(206 if start else 200, content[start:], replace(trouble, headers={**rest, **trouble.headers}))

    def _answer(self, status: int, body: bytes, trouble: Trouble) -> None:
        self.send_response(status)
        length = str(len(body)) if trouble.length is None else trouble.length
        if length:
            self.send_header("Content-Length", length)
        for name, value in trouble.headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        if self.command == "HEAD":
            return
        self.wfile.write(body if trouble.sent is None else body[: trouble.sent])
        self.wfile.flush()
        if trouble.sent is not None and trouble.sent < len(body):
            self._break(trouble)

    def _break(self, trouble: Trouble) -> None:
        if trouble.silent:
            time.sleep(trouble.silent)
        elif trouble.length is None:
            time.sleep(0.01)  # what was sent is on its way
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Hostile(ThreadingHTTPServer):
    """`files` by path, `troubles` by path ("*": all); remembers what was asked, where transfers began, what came."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        files: Mapping[str, bytes],
        troubles: Mapping[str, Trouble],
        host: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, 0), _Handler)
        self.files = dict(files)
        self.troubles = dict(troubles)
        self.asked: Counter[str] = Counter()
        self.starts: list[tuple[str, int]] = []
        self.posted: list[tuple[str, bytes]] = []
        self.address = f"[{host}]:{self.server_port}" if ":" in host else f"{host}:{self.server_port}"
        self.url = f"{'https' if tls else 'http'}://{self.address}"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def trouble(self, path: str) -> Trouble:
        """What goes wrong with the request that was just counted."""
        trouble = self.troubles.get(path) or self.troubles.get("*")
        return trouble if trouble and self.asked[path] <= trouble.times else Trouble()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is what some of the tests want."""


@contextmanager
def hostile(
    files: Mapping[str, bytes],
    troubles: Mapping[str, Trouble] | None = None,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> Iterator[Hostile]:
    """Serve on a port of loopback."""
    with Hostile(files, troubles or {}, host, tls) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
