"""Blobs on loopback, one file to many clients at once: `imagebuilder serve` beside nginx with sendfile, in one run.

Each server runs on the first core, all clients on the others. Claims: at least 0.8 of nginx's throughput; with 1,000
open transfers at most 150 MB of memory.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from measure import IMAGEBUILDER, Row, report

from imagebuilder.store.layout import Blob, Layout

SIZE = 60_000_000
CLIENTS = 200
OPEN = 1000
_AROUND = """\
daemon off; master_process off; pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/serve.conf;
}}
"""


@contextmanager
def _on_first_core(argv: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["taskset", "-c", "0", *argv], stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield process
        finally:
            process.terminate()


def _connect(port: int, blob: Blob) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(f"GET /blobs/sha256/{blob.sha256} HTTP/1.0\r\n\r\n".encode())
    return connection


def _bytes_per_second(port: int, blob: Blob) -> float:
    """All clients at once, until the last one has everything."""
    began, received, buffer = time.monotonic(), 0, bytearray(1 << 20)
    with selectors.DefaultSelector() as selector:
        for _ in range(CLIENTS):
            selector.register(_connect(port, blob), selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                count = connection.recv_into(buffer)
                received += count
                if not count:
                    selector.unregister(connection)
                    connection.close()
    assert received > CLIENTS * blob.size, f"{received} bytes came"
    return received / (time.monotonic() - began)


def _memory_with_open_transfers(process: subprocess.Popen[bytes], port: int, blob: Blob) -> int:
    """Resident bytes while nobody reads what is sent."""
    with ExitStack() as stack:
        for _ in range(OPEN):
            stack.enter_context(_connect(port, blob)).recv(1)
        status = Path(f"/proc/{process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmRSS:\s+(\d+)", status)
    return int(kilobytes) * 1024


def main() -> None:
    os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        layout = Layout(folder / "store")
        layout.prepare()
        blob = layout.put(os.urandom(SIZE))
        places = ["--store", str(layout.root), "--cache", str(folder)]
        serve = [*IMAGEBUILDER, "serve", "--bind", "127.0.0.1", "--port", "18080", *places]
        printed = subprocess.run([*serve, "--print-nginx", "18081"], capture_output=True, text=True, check=True).stdout
        (folder / "serve.conf").write_text(printed)
        (folder / "nginx.conf").write_text(_AROUND.format(folder=folder))
        nginx = ["nginx", "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
        with _on_first_core(nginx, 18081):
            theirs = _bytes_per_second(18081, blob)
        with _on_first_core(serve, 18080) as process:
            ours = _bytes_per_second(18080, blob)
            memory = _memory_with_open_transfers(process, 18080, blob)
    rows = [
        Row(f"nginx, {CLIENTS} clients", theirs / 1e9, "GB/s"),
        Row(f"imagebuilder serve, {CLIENTS} clients", ours / 1e9, "GB/s"),
        Row("nginx's throughput over ours", theirs / ours, "x", 1 / 0.8),
        Row(f"memory with {OPEN} open transfers", memory / 1e6, "MB", 150),
    ]
    report("serve_blobs", rows)


if __name__ == "__main__":
    main()
