"""A boot server that runs as a user runs it, and a client that shows all of its answers."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from builds import PROGRAM
from imagebuilder.digest import of_bytes

_LIMITED = """\
import sys
from pathlib import Path
from imagebuilder.serve.app import Settings, application
from imagebuilder.serve.nodes import Nodes
from imagebuilder.serve.server import Limits, Listen, run
from imagebuilder.store.layout import Layout
app = application(Settings(Layout(Path(sys.argv[1])), Nodes(), sys.argv[1] + '.sqlite'), print)
say = lambda urls: print("serving at", *urls, file=sys.stderr, flush=True)
run(app, Listen(("127.0.0.1",), 0, Limits(head_seconds=1, stall_seconds=2, stop_seconds=1)), say)
"""


BIG = os.urandom(3_000_000)
HUGE = 64 << 20
MAC = "52:54:00:12:34:56"
SIGNATURE = b"untrusted comment: a test's\n"
"""What the store of the tests holds besides images."""


def blob_path(data: bytes) -> str:
    """Where a server has a blob."""
    return f"/blobs/sha256/{of_bytes(data)}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a body and headers."""

    status: int
    body: bytes
    headers: http.client.HTTPMessage


@dataclass
class Client:
    """Asks whoever listens at a port of loopback."""

    port: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; `_` in a header's name is `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), answer.headers)
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, **headers)


@dataclass
class BootServer(Client):
    """A server's process, its port, and what it has said so far."""

    process: subprocess.Popen[str]
    tls_port: int = 0
    said: list[str] = field(default_factory=list)

    def line(self, pattern: str) -> str:
        """Read what it says until a line matches; returns that one."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip())
            if re.search(pattern, line):
                return line.rstrip()
        raise AssertionError(f"it never said {pattern}, but: {self.said}")

    @property
    def operator(self) -> dict[str, str]:
        """The header that says that the operator asks; the token is where the server said that it is."""
        said = next(line for line in self.said if line.startswith("the operator's token is"))
        new = re.search(r" is (\S+) \(kept in", said)
        return {"Authorization": f"Bearer {new[1] if new else Path(said.partition(' is in ')[2]).read_text().strip()}"}

    def stop(self) -> int:
        """Ask it to stop; returns its exit status."""
        self.process.terminate()
        return self.process.wait(20)


@contextmanager
def boot_server(store: Path, *arguments: object) -> Iterator[BootServer]:
    """`imagebuilder serve` of a store on a free port of loopback; gone after the block."""
    places = ["--store", store, "--cache", store.parent / "cache"]
    with _started([PROGRAM, "serve", "--bind", "127.0.0.1", "--port", "0", *places, *arguments]) as server:
        yield server


@contextmanager
def pxe_server(namespace: str, store: Path, *arguments: object) -> Iterator[BootServer]:
    """The same in a network namespace, as the DHCP server on its bridge; the port is that of the namespace."""
    places = ["--store", store, "--cache", store.parent / "pxe"]
    inside = ["ip", "netns", "exec", namespace]
    with _started([*inside, PROGRAM, "serve", "--pxe", "br0", *places, *arguments]) as server:
        yield server


@contextmanager
def impatient_server(store: Path) -> Iterator[BootServer]:
    """The same with limits of a second or two."""
    with _started([sys.executable, "-c", _LIMITED, store]) as server:
        yield server


@contextmanager
def serving_app(routes: list[web.RouteDef]) -> Iterator[Client]:
    """Some routes alone, served by a thread of ours on a free port of loopback."""
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield Client(runner.addresses[0][1])
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        cut_off = asyncio.all_tasks(loop)
        for task in cut_off:
            task.cancel()
        loop.run_until_complete(asyncio.wait(cut_off) if cut_off else asyncio.sleep(0))
        loop.close()


@contextmanager
def _started(argv: list[Any]) -> Iterator[BootServer]:
    process = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    server = BootServer(0, process)
    try:
        urls = dict(re.findall(r"(https?)://\S+:(\d+)/", server.line(r"^serving ")))
        server.port, server.tls_port = int(urls["http"]), int(urls.get("https", 0))
        yield server
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
