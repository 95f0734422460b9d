"""A RackHD as a node sees it, over real sockets, that can be told to misbehave."""

from __future__ import annotations

import json
import queue
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NODE = "5f3c9d2ae1b07c0001a4b2c9"
MAC = "52:54:00:12:34:56"
IDENTIFIER = "0123456789abcdef01234567"

BOOTSTRAP_JS = """\
"use strict";
var http = require('http'), transport = 'tcp',
    server = '{server}',
    port = '{port}',
    tasksPath = '/api/current/tasks/{node}',
    MAX_BUFFER = 5000 * 1024;
http.request({{ hostname: server, port: port, path: tasksPath }});
process.exit(1);
"""
"""The lines of the rendered script that say something, in their 2015 form."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say to a request; `drop` closes the connection without a word."""

    status: int = 200
    body: bytes = b""
    drop: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What a node asked; `connection` numbers the TCP connections."""

    method: str
    path: str
    connection: int
    keep_alive: bool
    body: bytes = b""


@dataclass
class TaskServer:
    """Answers from what a test put here; unlisted paths are 404."""

    host: str
    port: int
    bootstrap: deque[Answer] = field(default_factory=deque)  # said first, one each; then the real one
    series: deque[Answer] = field(default_factory=deque)  # one for each poll; none left is 404
    receipts: deque[Answer] = field(default_factory=deque)  # one for each POST; none left is 201
    files: dict[str, Answer] = field(default_factory=dict)
    busy: int = 0  # so many requests for files are 503 first
    requests: list[Request] = field(default_factory=list)
    _results: queue.Queue[bytes] = field(default_factory=queue.Queue)

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    def give(self, *tasks: dict[str, Any], **more: object) -> None:
        """Queue a series of tasks."""
        self.series.append(Answer(body=json.dumps({"identifier": IDENTIFIER, "tasks": tasks, **more}).encode()))

    def result(self, timeout: float = 20) -> Any:
        """The next result that was delivered, decoded."""
        return json.loads(self._results.get(timeout=timeout))

    def asked(self, method: str, path: str) -> list[Request]:
        return [r for r in self.requests if r.method == method and r.path.partition("?")[0] == path]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.path == f"/api/current/tasks/bootstrap.js?macAddress={MAC}":
            return self.bootstrap.popleft() if self.bootstrap else Answer(body=self.bootstrap_js())
        if request.path == f"/api/current/tasks/{NODE}":
            return self._exchange(request)
        if self.busy:
            self.busy -= 1
            return Answer(503)
        return self.files.get(request.path, Answer(404, b"<h1>Not Found</h1>"))

    def bootstrap_js(self) -> bytes:
        return BOOTSTRAP_JS.format(server=self.host, port=self.port, node=NODE).encode()

    def _exchange(self, request: Request) -> Answer:
        if request.method == "GET":
            return self.series.popleft() if self.series else Answer(404, b"<h1>Not Found</h1>")
        receipt = self.receipts.popleft() if self.receipts else Answer(201)
        if not receipt.drop:
            self._results.put(request.body)
        return receipt


def _handler(server: TaskServer) -> type[BaseHTTPRequestHandler]:
    connections = iter(range(1 << 30))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            self.number = next(connections)

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            keep_alive = not self.close_connection
            answer = server.answer(Request(self.command, self.path, self.number, keep_alive, body))
            if answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            if answer.status != 204:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def task_server(port: int = 0) -> Iterator[TaskServer]:
    """A running server on loopback."""
    server = TaskServer("127.0.0.1", port)
    with ThreadingHTTPServer((server.host, port), _handler(server)) as httpd:
        server.port = httpd.server_address[1]
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            httpd.shutdown()
            thread.join()
