"""The OpenAPI document, and what schemathesis makes of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from imagebuilder.serve.described import TEXT, Content, Description, described
from imagebuilder.serve.openapi import document
from imagebuilder.serve.operator import Operator
from imagebuilder.store.layout import Layout
from serving import MAC, BootServer, boot_server

SCHEMATHESIS = Path(sys.executable).with_name("st")


@pytest.fixture
def server(small_store: Layout) -> Iterator[BootServer]:
    nodes = small_store.root.parent / "nodes.yml"
    nodes.write_text("profiles: {all: {image: discovery}}\ndefault: all\n")
    with boot_server(small_store.root, "--nodes", nodes) as server:
        server.get(f"/boot.ipxe?mac={MAC}")
        yield server


def test_document_says_what_is_served_and_to_whom(server: BootServer) -> None:
    said: dict[str, Any] = json.loads(server.get("/openapi.json").body)
    paths = said["paths"]
    assert {
        *("/boot.ipxe", "/report/{token}", "/api/{version}/tasks/{agent}", "/metrics", "/openapi.json"),
        *("/api/1/nodes", "/api/1/nodes/{node}/tasks", "/api/1/images/{name}", "/api/1/login"),
    } <= paths.keys()
    command = paths["/api/1/nodes/{node}/tasks"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert command["properties"]["timeout"]["exclusiveMinimum"] == 0
    for path, methods in paths.items():
        for method, operation in methods.items():
            is_guarded = path.startswith("/api/1/") and path not in ("/api/1/login", "/api/1/logout")
            assert ("security" in operation) is is_guarded, (path, method)
            asked = path.replace("{version}", "current").replace("{", "x").replace("}", "")
            assert (server.ask(method.upper(), asked, b"").status == 401) is is_guarded, (path, method)


def test_document_is_made_of_the_table() -> None:
    @described(Description("What it does", {200: Content(TEXT), 404: None}))
    async def shown(_: web.Request) -> web.Response:
        return web.Response()

    async def hidden(_: web.Request) -> web.Response:
        return web.Response()

    table = [*Operator().guarded([web.get("/a/{name:[0-9]{2}}/{rest}", shown)]), web.get("/hidden", hidden)]
    ((path, operations),) = document(table)["paths"].items()
    assert path == "/a/{name}/{rest}"
    assert [p["schema"].get("pattern") for p in operations["get"]["parameters"]] == ["^(?:[0-9]{2})$", None]
    assert operations["get"]["responses"] == {
        "200": {"description": "OK", "content": {TEXT: {"schema": {"type": "string"}}}},
        "404": {"description": "Not Found"},
    }
    assert operations["get"]["security"]


def test_schemathesis_finds_nothing_wrong(server: BootServer, tmp_path: Path) -> None:
    url, token = f"http://127.0.0.1:{server.port}/openapi.json", f"Authorization: {server.operator['Authorization']}"
    argv: list[str | Path] = [SCHEMATHESIS, "run", url, "--header", token, "--phases", "coverage"]
    bounds = ["--generation-deterministic", "--no-color", "--warnings", "off"]
    done = subprocess.run([*argv, *bounds], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
    assert server.get("/metrics").status == 200
