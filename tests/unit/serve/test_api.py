"""The operator's API as programs meet it: over real sockets, with a node that does what it is told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.store.layout import Layout
from serving import MAC, BootServer, boot_server
from stores import add_image

NODES = f"""\
profiles:
  inventory: {{image: discovery}}
  storage: {{image: raid}}
nodes:
  - {{mac: "{MAC}", name: r1n7, profile: storage}}
default: inventory
"""
NOBODY = "52:54:00:00:00:99"
NO_TASK = "0" * 24


@pytest.fixture
def layout(small_store: Layout) -> Layout:
    add_image(small_store, "raid:latest", "raid")
    (small_store.root.parent / "nodes.yml").write_text(NODES)
    return small_store


@pytest.fixture
def server(layout: Layout) -> Iterator[BootServer]:
    with boot_server(layout.root, "--nodes", layout.root.parent / "nodes.yml") as server:
        yield server


def ask(server: BootServer, method: str, path: str, body: object = None, status: int = 200) -> Any:
    """What the operator is answered."""
    data = None if body is None else json.dumps(body).encode()
    answer = server.ask(method, f"/api/1{path}", data, Content_Type="application/json", **server.operator)
    assert (answer.status, answer.headers.get_content_type()) == (status, "application/json"), answer.body
    return json.loads(answer.body)


def boot(server: BootServer, mac: str = MAC) -> str:
    """Boot a node; where its agent asks for tasks. It has done its inventory."""
    token = re.search(rb"nb\.token=(\S+)", server.get(f"/boot.ipxe?mac={mac}").body)
    assert token
    path: str = json.loads(
        server.get(f"/api/current/tasks/bootstrap.js?macAddress={mac}&token={token[1].decode()}").body
    )["tasksPath"]
    work(server, path, '{"memory": 1}')
    return path


def work(server: BootServer, path: str, stdout: str) -> str:
    """Have a node do its next task; returns the command."""
    series = json.loads(server.get(path).body)
    command = series["tasks"][0]["cmd"]
    series["tasks"][0] |= {"stdout": stdout, "stderr": "", "error": None}
    assert server.ask("POST", path, json.dumps(series).encode()).status == 201
    return str(command)


def test_machines_are_seen_and_given_another_profile(server: BootServer, layout: Layout) -> None:
    boot(server)
    first, *others = ask(server, "GET", "/nodes")["nodes"]
    assert (first["machine"], first["name"], first["state"]) == (MAC, "r1n7", "ready")
    assert [other["machine"] for other in others] == ["all others"]
    shown = ask(server, "GET", "/nodes/r1n7")
    assert (shown["profile"], shown["boots"][0]["choice"]["profile"]) == ("storage", "storage")
    assert ask(server, "PUT", "/nodes/r1n7/profile", {"profile": "inventory"}) == {"node": MAC, "profile": "inventory"}
    assert b"MANIFEST=/v2/discovery/" in server.get(f"/boot.ipxe?mac={MAC}").body
    assert ask(server, "PUT", "/nodes/r1n7/profile", {"profile": "none"}, 409)["hint"]
    assert "name: r1n7, profile: inventory" in (layout.root.parent / "nodes.yml").read_text()


def test_command_is_asked_for_done_and_shown(server: BootServer) -> None:
    path = boot(server)
    ordered = ask(server, "POST", "/nodes/r1n7/tasks", {"command": "lsblk", "timeout": 9}, 201)
    assert ordered["node"] == MAC
    (waiting,) = ask(server, "GET", "/tasks?state=queued&node=r1n7")["tasks"]
    assert (waiting["id"], waiting["order"]["command"]) == (ordered["task"], "lsblk")
    assert ask(server, "POST", "/news", {"tasks": [{"task": ordered["task"]}]})["news"] == []
    assert work(server, path, "sda\n").endswith("lsblk")
    (news,) = ask(server, "POST", "/news", {"tasks": [{"task": ordered["task"]}]})["news"]
    shown = ask(server, "GET", f"/tasks/{ordered['task']}")
    assert news == {"task": ordered["task"], "given": shown["given"], "stdout": "", "stderr": "", "ended": shown}
    assert shown["result"] == {"status": 0, "stdout": "sda\n", "stderr": ""}
    assert ask(server, "GET", "/tasks")["tasks"][0]["result"]["stdout"] == ""
    assert "only what waits" in ask(server, "POST", f"/tasks/{ordered['task']}/withdraw", status=409)["error"]


def test_what_waits_can_be_withdrawn(server: BootServer) -> None:
    path = boot(server)
    first, second = (ask(server, "POST", f"/nodes/{MAC}/tasks", {"command": "x"}, 201)["task"] for _ in range(2))
    assert ask(server, "POST", f"/tasks/{first}/withdraw")["state"] == "withdrawn"
    assert ask(server, "POST", "/withdrawals", {"tasks": [first, second]})
    assert ask(server, "GET", f"/tasks/{second}")["state"] == "withdrawn"
    assert server.get(path).status == 204


def test_profile_is_all_of_its_nodes(server: BootServer) -> None:
    boot(server)
    others = [f"52:54:00:00:00:0{number}" for number in (1, 2)]
    for mac in others:
        boot(server, mac)
    ordered = ask(server, "POST", "/profiles/inventory/tasks", {"command": "x"}, 201)["tasks"]
    assert sorted(task["node"] for task in ordered) == others


def test_what_destroys_needs_somebody_who_is_sure_and_a_profile_that_allows_it(
    server: BootServer, layout: Layout
) -> None:
    path, nodes_file = boot(server), layout.root.parent / "nodes.yml"
    erase: dict[str, object] = {"command": "wipe", "destroys": "erase", "sure": True}
    refused = ask(server, "POST", "/nodes/r1n7/tasks", erase, 403)
    assert refused == {
        "error": f"the profile of {MAC} does not allow `erase`",
        "hint": "nodes.yml says so: `allow: [erase]` in a profile",
    }
    nodes_file.write_text(NODES.replace("{image: raid}", "{image: raid, allow: [erase]}"))
    assert "sure" in ask(server, "POST", "/nodes/r1n7/tasks", erase | {"sure": False}, 403)["error"]
    assert "once" in ask(server, "POST", "/nodes/r1n7/tasks", erase | {"retries": 1}, 409)["error"]
    ask(server, "POST", "/nodes/r1n7/tasks", erase | {"destroys": "flash"}, 403)
    ask(server, "POST", "/nodes/r1n7/tasks", erase, 201)
    assert work(server, path, "").endswith("wipe")
    late = ask(server, "POST", "/nodes/r1n7/tasks", erase, 201)["task"]
    nodes_file.write_text(NODES)
    assert server.get(path).status == 204
    assert ask(server, "GET", f"/tasks/{late}")["state"] == "withdrawn"
    entries = ask(server, "GET", "/journal")["entries"]
    assert [(entry["who"], entry["what"], entry["which"], entry["detail"]) for entry in entries] == [
        ("the server", "did not erase", MAC, "its profile allows it no more"),
        ("operator (127.0.0.1)", "erase", MAC, "wipe"),
        ("the server", "began to erase", MAC, "wipe"),
        ("operator (127.0.0.1)", "erase", MAC, "wipe"),
    ]
    assert all(entry["at"] > 1_700_000_000 for entry in entries)
    assert f"the server: began to erase {MAC}: wipe" in server.line("began to erase")


def test_journal_says_who_changed_what(server: BootServer) -> None:
    headers = {"From": "alice@desk", "Content_Type": "application/json", **server.operator}
    body = json.dumps({"profile": "inventory"}).encode()
    assert server.ask("PUT", "/api/1/nodes/r1n7/profile", body, **headers).status == 200
    ask(server, "PUT", "/images/discovery:stable", {"of": "discovery"})
    moved, assigned = ask(server, "GET", "/journal")["entries"]
    assert (assigned["who"], assigned["what"], assigned["detail"]) == ("alice@desk (127.0.0.1)", "assign", "inventory")
    assert (moved["what"], moved["which"], moved["detail"][:7]) == ("move", "discovery:stable", "sha256:")


def test_inventory_is_what_the_node_said(server: BootServer) -> None:
    path = boot(server)
    assert ask(server, "GET", "/nodes/r1n7/inventory")["inventory"] == {"memory": 1}
    ask(server, "POST", "/nodes/r1n7/inventory", status=201)
    assert work(server, path, "[" * 100_000).endswith("./inventory.sh")
    broken = ask(server, "GET", "/nodes/r1n7/inventory")
    assert (broken["inventory"], broken["problem"]) == (None, "what the node said is no inventory")
    server.get("/boot.ipxe?mac=525400000003")
    assert ask(server, "GET", "/nodes/525400000003/inventory")["state"] == ""


def test_channel_moves_and_goes_back(server: BootServer, layout: Layout) -> None:
    def stable() -> str | None:
        return server.get("/v2/discovery/manifests/stable").headers["Docker-Content-Digest"]

    old = ask(server, "PUT", "/images/discovery:stable", {"of": "discovery"})["digest"]
    new = add_image(layout, "discovery:latest", "new").digest
    assert stable() == old
    assert ask(server, "PUT", "/images/discovery:stable", {"of": "discovery:latest"})["digest"] == new == stable()
    assert ask(server, "GET", "/images/discovery:stable")["before"] == [old]
    assert ask(server, "POST", "/images/discovery:stable/rollback")["digest"] == old == stable()
    assert "never stood" in ask(server, "POST", "/images/discovery:stable/rollback", status=409)["error"]
    assert "not of one image" in ask(server, "PUT", "/images/raid:stable", {"of": "discovery"}, 409)["error"]
    assert ask(server, "DELETE", "/images/discovery:stable")["digest"] is None
    assert [entry["name"] for entry in ask(server, "GET", "/images")["names"]] == ["discovery:latest", "raid:latest"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", f"/nodes/{NOBODY}/inventory", None, 404),
        ("POST", f"/nodes/{NOBODY}/inventory", None, 404),
        ("POST", f"/nodes/{NOBODY}/tasks", {"command": "x"}, 404),
        ("POST", "/profiles/none/tasks", {"command": "x"}, 404),
        ("GET", f"/tasks?node={NOBODY}", None, 404),
        ("GET", f"/tasks/{NO_TASK}", None, 404),
        ("GET", "/tasks/%2e%2e%2fsecret", None, 404),
        ("POST", f"/tasks/{NO_TASK}/withdraw", None, 404),
        ("GET", "/images/none", None, 404),
        ("GET", "/images/..%2f..%2fetc", None, 404),
        ("PUT", "/images/none:stable", {"of": "none"}, 404),
        ("GET", "/none", None, 404),
        ("PATCH", "/nodes", None, 405),
        ("GET", "/tasks?state=odd", None, 400),
        ("GET", "/tasks?other=1", None, 400),
        ("GET", "/nodes/x?vendor=%00", None, 400),
        ("PUT", "/nodes/r1n7/profile", {}, 400),
        ("PUT", "/nodes/r1n7/profile", {"profile": "storage", "more": 1}, 400),
        ("POST", "/nodes/r1n7/tasks", {"command": ""}, 400),
        ("POST", "/nodes/r1n7/tasks", {"command": "a\0b"}, 400),
        ("POST", "/nodes/r1n7/tasks", {"command": "\ud800"}, 400),
        ("POST", "/nodes/r1n7/tasks", {"command": "x", "timeout": "9"}, 400),
        ("POST", "/nodes/r1n7/tasks", {"command": "x", "retries": -1}, 400),
        ("POST", "/nodes/r1n7/tasks", {"command": "x", "destroys": "all"}, 400),
        ("POST", "/nodes/r1n7/tasks", [], 400),
        ("POST", "/nodes/r1n7/tasks", {"command": "x" * 1_100_000}, 413),
        ("POST", "/news", {"tasks": ["x"]}, 400),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_is_refused_in_json(
    all_servers: BootServer, method: str, path: str, body: object, status: int
) -> None:
    assert ask(all_servers, method, path, body, status)["error"]


@pytest.fixture(scope="module")
def all_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    """One server for all that changes nothing."""
    folder: Path = tmp_path_factory.mktemp("api")
    store = Layout(folder / "store")
    store.prepare()
    add_image(store, "discovery:latest", "x")
    (folder / "nodes.yml").write_text(NODES)
    with boot_server(store.root, "--nodes", folder / "nodes.yml") as server:
        yield server


def test_body_that_is_no_json_is_refused(all_servers: BootServer) -> None:
    path, operator = "/api/1/news", all_servers.operator
    assert all_servers.ask("POST", path, b"{", Content_Type="application/json", **operator).status == 400
    assert all_servers.ask("POST", path, b"[" * 100_000, Content_Type="application/json", **operator).status == 400
    assert all_servers.ask("POST", path, b"{}", Content_Type="text/plain", **operator).status == 415


@pytest.mark.parametrize("path", ["/nodes", "/tasks", "/images", f"/tasks/{NO_TASK}", "/nodes/x"])
def test_nothing_is_answered_to_who_is_not_the_operator(all_servers: BootServer, path: str) -> None:
    answer = all_servers.get(f"/api/1{path}")
    assert (answer.status, json.loads(answer.body)["error"]) == (401, "the operator's token is needed")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
