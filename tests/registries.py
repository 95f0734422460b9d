"""OCI registries on loopback: a real docker-registry, a wire that breaks, and servers that say what a test wants."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from imagebuilder.events import Event
from imagebuilder.store.layout import Layout
from imagebuilder.store.registry.client import Repository
from imagebuilder.store.registry.credentials import Credentials
from imagebuilder.store.registry.pull import Pull
from imagebuilder.store.registry.push import Push
from imagebuilder.store.registry.transport import Site, Transport

USER = Credentials("builder", "secret")
# bcrypt, the only hash that docker-registry takes: `htpasswd -nbB -C 4 builder secret`
_HTPASSWD = "builder:$2y$04$DWXJpc5JuN/5ob0HIX2Og.y5UDlv9DAUPt/klK2DsFTZKwalw1ew2\n"


def nothing(_: Event) -> None:
    """Listens to no event."""


@dataclass(frozen=True, slots=True)
class Registry:
    """A docker-registry that runs: where, with which authority's certificate, and what it logs."""

    port: int
    log: Path
    ca_file: Path | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def repository(self, name: str, credentials: Credentials | None = None, port: int = 0) -> Repository:
        """One of its repositories, through another port if one is given."""
        site = Site(f"127.0.0.1:{port or self.port}", self.ca_file is None, self.ca_file, credentials)
        return Repository(Transport(site), name)

    def push(self, layout: Layout, name: str, **more: str) -> Push:
        return Push(layout, self.repository(name), nothing, **more)

    def pull(self, layout: Layout, name: str) -> Pull:
        return Pull(layout, self.repository(name), nothing)

    def requests(self, method: str, path: str) -> list[int]:
        """The statuses of all requests so far of a method, to paths that match."""
        lines = re.findall(rf'"{method} /v2/{path}(?:\?\S*)? HTTP/1\.1" (\d+)', self.log.read_text())
        return [int(status) for status in lines]


@contextmanager
def docker_registry(folder: Path, *, password: bool = False, tls: bool = False) -> Iterator[Registry]:
    """Start one that keeps everything in `folder`; it ends with the block."""
    folder.mkdir(exist_ok=True)
    port = _free_port()
    ca_file = _make_certificates(folder) if tls else None
    (folder / "htpasswd").write_text(_HTPASSWD)
    configuration = {
        "version": "0.1",
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {
            "addr": f"127.0.0.1:{port}",
            "secret": "known, so that uploads outlive a restart",
            **({"tls": {"certificate": str(folder / "server.pem"), "key": str(folder / "key.pem")}} if tls else {}),
        },
        **({"auth": {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}} if password else {}),
    }
    (folder / "config.yml").write_text(json.dumps(configuration))  # JSON is YAML
    log = folder / "log"
    with log.open("w") as output:
        argv = ["docker-registry", "serve", str(folder / "config.yml")]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process:
            try:
                _await_port(port, process)
                yield Registry(port, log, ca_file)
            finally:
                process.kill()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        assert process.poll() is None, "docker-registry did not start"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError


def _make_certificates(folder: Path) -> Path:
    """An authority of our own and a server's certificate signed by it; returns the authority's."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    ca = [*key, "-x509", "-subj", "/CN=a test's authority", "-keyout", "ca-key.pem", "-out", "ca.pem"]
    server = [*key, "-x509", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-subj", "/CN=a test's registry"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"]
    for argv in (ca, [*server, *names, "-keyout", "key.pem", "-out", "server.pem"]):
        subprocess.run(["openssl", "req", *argv], cwd=folder, check=True, capture_output=True)
    return folder / "ca.pem"


class Wire:
    """A port in front of another one; each connection that it is told to breaks after so many bytes from one side."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.cuts: list[tuple[str, int]] = []
        """(`up` or `down`, bytes) of a break that is still to come: the first connection that reaches it."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        # Where nobody listens any more, the connection just ends, as it does without us.
        with suppress(ConnectionError), client, socket.create_connection(("127.0.0.1", self._target)) as server:
            back = threading.Thread(target=self._carry, args=("down", server, client), daemon=True)
            back.start()
            self._carry("up", client, server)
            back.join()

    def _carry(self, direction: str, source: socket.socket, sink: socket.socket) -> None:
        carried = 0
        with suppress(OSError):
            while data := source.recv(1 << 14):
                carried += len(data)
                if self.cuts and self.cuts[0][0] == direction and carried >= self.cuts[0][1]:
                    self.cuts.pop(0)
                    break
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a false registry answers."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Answering = Callable[[BaseHTTPRequestHandler], Reply]


@contextmanager
def false_registry(answer: Answering) -> Iterator[int]:
    """A server on a port that answers every request as `answer` says."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(self)
            self.send_response(reply.status)
            for name, value in reply.headers:
                self.send_header(name, value)
            if "Content-Length" not in dict(reply.headers):
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = _reply

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()
