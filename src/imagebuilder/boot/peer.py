"""The HTTP server that one booting node talks to, on loopback.

    GET  /NAME                                        a file of the artifact folder, Range included
    GET  /boot.ipxe, /TASK-FILE                       what was handed in as `documents`
    GET  /api/VERSION/tasks/bootstrap.js?macAddress=  where the node's tasks are, as JSON
    GET  /api/VERSION/tasks/NODE                      the series of tasks until it has been done, then 404
    POST /api/VERSION/tasks/NODE                      its result

VERSION is one of RackHD's: current, common, 1.1, 2.0. The node's agent finds
the tasks path in any text that quotes it, so there is no script to render.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from imagebuilder.serve.ranges import Unsatisfiable, byte_range

NODE = "6e6f6465206f6e206c6f6f70"
"""Identifier of the one node: 24 hex digits as RackHD's are."""

_BOOTSTRAP = re.compile(r"/api/(?:current|common|1\.1|2\.0)/tasks/bootstrap\.js")
_TASKS = re.compile(rf"/api/(?:current|common|1\.1|2\.0)/tasks/{NODE}")
_LARGEST_RESULT = 10_000_000
_IDLE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """The agent in the booted system asked for its tasks for the first time."""

    mac: str


@dataclass(frozen=True, slots=True)
class TaskGiven:
    """The agent fetched the series."""


@dataclass(frozen=True, slots=True)
class ResultPosted:
    """The series as it came back, one object a task."""

    tasks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class FileAsked:
    """The node asked for an artifact, all of it or a part."""

    name: str


@dataclass(frozen=True, slots=True)
class FileSent:
    """What was asked for has left."""

    name: str


PeerEvent = AgentSeen | TaskGiven | ResultPosted | FileAsked | FileSent


@dataclass(frozen=True, slots=True)
class Content:
    """What there is for a node: the folder of artifacts, more documents by path, its cards, its tasks."""

    folder: Path
    documents: Mapping[str, bytes] = field(default_factory=dict)
    macs: frozenset[str] = frozenset()
    tasks: tuple[Mapping[str, Any], ...] = ()


@contextmanager
def serve(describe: Callable[[int], Content], notify: Callable[[PeerEvent], None]) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1, which is yielded.

    `describe` gets the port and says what there is to serve; `notify` is called from threads.
    """
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.content = describe(server.server_address[1])
        server.notify = notify
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    content: Content
    notify: Callable[[PeerEvent], None]
    done = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A node that hangs up in the middle of a file is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if _BOOTSTRAP.fullmatch(url.path):
            self._bootstrap(parse_qs(url.query).get("macAddress", [""])[0])
        elif _TASKS.fullmatch(url.path):
            self._tasks()
        elif url.path in self.server.content.documents:
            self._answer(200, self.server.content.documents[url.path])
        else:
            self._file(url.path.lstrip("/"))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > _LARGEST_RESULT:
            self.close_connection = True
            self._answer(413 if size.isdigit() else 411)
            return
        body = self.rfile.read(int(size))
        if not _TASKS.fullmatch(urlsplit(self.path).path):
            self._answer(404)
            return
        try:
            tasks = tuple(json.loads(body)["tasks"])
        except (ValueError, KeyError, TypeError):
            self._answer(400)
            return
        self.server.done = True
        self._answer(201)
        self.server.notify(ResultPosted(tasks))

    def _bootstrap(self, mac: str) -> None:
        if mac not in self.server.content.macs:
            self._answer(404, b"no node has this address\n")
            return
        version = self.path.split("/")[2]
        self._json({"tasksPath": f"/api/{version}/tasks/{NODE}"})
        self.server.notify(AgentSeen(mac))

    def _tasks(self) -> None:
        if self.server.done or not self.server.content.tasks:
            self._answer(404, b"no tasks\n")
            return
        self._json({"identifier": NODE, "tasks": self.server.content.tasks})
        self.server.notify(TaskGiven())

    def _file(self, name: str) -> None:
        path = self.server.content.folder / name
        # Artifacts lie in the folder itself: no way leads out of it or to what is not finished.
        if "/" in name or name.startswith(".") or not path.is_file():
            self._answer(404, b"no such file\n")
            return
        self.server.notify(FileAsked(name))
        with path.open("rb") as file:
            size = path.stat().st_size
            try:
                wanted = byte_range(self.headers.get("Range"), size)
            except Unsatisfiable:
                self._head(416, 0, {"Content-Range": f"bytes */{size}"})
                return
            first, last = wanted or (0, size - 1)
            span = {"Content-Range": f"bytes {first}-{last}/{size}"} if wanted else {}
            self._head(206 if wanted else 200, last - first + 1, {"Accept-Ranges": "bytes", **span})
            if self.command != "HEAD" and last >= first:
                self.connection.sendfile(file, first, last - first + 1)
        self.server.notify(FileSent(name))

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode())

    def _answer(self, status: int, body: bytes = b"") -> None:
        self._head(status, len(body), {})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, length: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Standard error is the console's."""
