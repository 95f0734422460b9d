"""nginx, told as we tell it, in front of a server."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builds import PROGRAM
from imagebuilder.digest import of_bytes
from imagebuilder.store.layout import Layout
from serving import BIG, MAC, BootServer, blob_path

_AROUND = """\
user root;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/serve.conf;
}}
"""


@pytest.fixture(scope="module")
def front(server: BootServer, layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    """A client of nginx, before the server."""
    folder = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    words = ["--print-nginx", str(port), "--port", str(server.port), "--store", str(layout.root)]
    printed = subprocess.run([PROGRAM, "serve", *words], capture_output=True, text=True, check=True).stdout
    (folder / "serve.conf").write_text(printed)
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder))
    argv: list[str | Path] = ["nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf", "-g", "daemon off;"]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                assert process.poll() is None, (folder / "error.log").read_text()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            yield replace(server, port=port)
        finally:
            process.terminate()


@pytest.mark.root
@pytest.mark.parametrize("path", [blob_path(BIG), f"/v2/discovery/blobs/sha256:{of_bytes(BIG)}"])
def test_blobs_come_from_the_store_as_they_do_without_nginx(front: BootServer, path: str) -> None:
    answer = front.get(path)
    assert (answer.body, answer.headers["ETag"]) == (BIG, f'"{of_bytes(BIG)}"')
    assert "nginx" in answer.headers["Server"]
    assert "immutable" in answer.headers["Cache-Control"]
    part = front.get(path, Range="bytes=5-9")
    assert (part.status, part.body) == (206, BIG[5:10])


@pytest.mark.root
def test_all_else_comes_from_the_server_and_leads_back_to_nginx(front: BootServer) -> None:
    assert f"API_CB=127.0.0.1:{front.port} ".encode() in front.get(f"/boot.ipxe?mac={MAC}").body
    assert front.get("/v2/discovery/manifests/latest").status == 200
    assert front.get(f"/blobs/sha256/{'0' * 64}").status == 404
    assert front.get("/../secret").status in (400, 404)
