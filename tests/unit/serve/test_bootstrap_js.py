"""Agents of 2015: the bootstrap.js that they get, in a real Node.js, and who gets it."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.serve.tasks import bootstrap_script
from imagebuilder.store.layout import Layout
from javascript_agent import programs, started
from rackhd import NODE, task_server
from rackhd import Answer as RackhdAnswer
from serving import MAC, Answer, BootServer, boot_server
from unit.serve.test_tasks import run, start_run

OTHER = "52:54:00:00:00:07"
URL = "/api/current/tasks/bootstrap.js?macAddress="
NODES = f"""\
profiles:
  old: {{image: discovery, tasks_by_address: true}}
  new: {{image: discovery}}
nodes:
  - {{mac: "{OTHER}", profile: new}}
default: old
"""


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    path = tmp_path / "nodes.yml"
    path.write_text(NODES)
    return path


@pytest.fixture
def server(small_store: Layout, nodes: Path) -> Iterator[BootServer]:
    with boot_server(small_store.root, "--nodes", nodes) as server:
        yield server


def _asked(server: BootServer, path: str, source: str = "127.0.0.1") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10, source_address=(source, 0))
    connection.request("GET", path)
    answer = connection.getresponse()
    try:
        return Answer(answer.status, answer.read(), answer.headers)
    finally:
        connection.close()


def _script(server: BootServer) -> str:
    """Boot, and ask for bootstrap.js."""
    server.get(f"/boot.ipxe?mac={MAC}")
    answer = server.get(URL + MAC)
    assert answer.status == 200
    return answer.body.decode()


def test_who_shows_no_token_gets_it_where_the_profile_allows_it_and_the_address_is_the_nodes(
    server: BootServer,
) -> None:
    assert server.get(URL + MAC).status == 403  # before there was a boot script
    assert "WARNING" not in "".join(server.said)
    _script(server)
    assert server.line("ready").endswith(f"{MAC} (127.0.0.1): WARNING: ready for tasks, known by its address alone")
    server.get(f"/boot.ipxe?mac={OTHER}")
    refused = [
        server.get(URL + OTHER),
        _asked(server, URL + MAC, "127.0.0.9"),
        server.get(f"{URL}{MAC}&token="),
        server.get(f"{URL}{MAC}&token={'0' * 24}"),
        server.get(f"{URL}52:54:00:00:00:08"),
    ]
    assert [answer.status for answer in refused] == [403] * 5
    assert server.get(f"{URL}x").status == 404
    # Whatever comes is run by the images of 2015: so a refusal is a comment.
    assert all(answer.body.startswith(b"// ") for answer in [*refused, server.get(f"{URL}x")])


def test_it_is_written_for_the_nodejs_of_2015() -> None:
    script = bootstrap_script("192.0.2.1", "/x")
    assert '{"server": "192.0.2.1", "port": 80, "path": "/x"}' in script
    newer = ("let ", "const ", "class ", "=>", "`", "...", "async ", "Promise", "Buffer.from", "Buffer.alloc")
    assert [word for word in newer if word in script] == []


@pytest.mark.parametrize("program", programs())
def test_commands_run_on_an_old_node_and_come_back_whole(
    small_store: Layout, nodes: Path, tmp_path: Path, program: str
) -> None:
    with boot_server(small_store.root, "--nodes", nodes) as server:
        port = server.port
        with started(program, _script(server), tmp_path / "node"):
            assert run(small_store, "--node", MAC, "--", "printf", "%s|", "a b", "c'd", "ü") == (0, "a b|c'd|ü|", "")
            assert run(small_store, "--node", MAC, "--", "cat; echo err >&2; exit 7") == (7, "", "err\n")
            proof = tmp_path / "proof"
            command = start_run(small_store, "--node", MAC, "--", f"echo begun >>{proof}; sleep 1; echo done")
            while not proof.exists():
                time.sleep(0.05)
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            time.sleep(1.2)
            with command, boot_server(small_store.root, "--nodes", nodes, "--port", port):
                stdout, _ = command.communicate(timeout=60)
    assert (command.returncode, stdout, proof.read_text()) == (0, "done\n", "begun\n")


SERIES: list[dict[str, Any]] = [
    {"cmd": "", "x": [None, 1.5]},
    {"cmd": "cat fetched; ls -l fetched | cut -c 1-10", "downloadUrl": "/files/fetched?a=b"},
    {"cmd": "echo said; exit 3", "acceptedResponseCodes": [1, 3]},
    {"cmd": "printf 'a\\377b\\303\\244'"},
    {"cmd": "true", "downloadUrl": "/files/nowhere"},
    {"cmd": "touch ran"},
]


@pytest.mark.parametrize("program", programs())
def test_it_speaks_the_whole_protocol(tmp_path: Path, program: str) -> None:
    with task_server() as peer:
        peer.files["/files/fetched?a=b"] = RackhdAnswer(body=b"content\n")
        peer.receipts.extend([RackhdAnswer(503), RackhdAnswer(drop=True)])
        peer.series.extend(
            [RackhdAnswer(200, page) for page in (b"<html>", b"{}", b"null")] + [RackhdAnswer(drop=True)]
        )
        peer.give(*SERIES)
        with started(program, bootstrap_script(peer.authority, f"/api/current/tasks/{NODE}"), tmp_path / "node"):
            results = [peer.result() for _ in range(2)]  # not delivered, and delivered
    assert results[0] == results[1]
    tasks = results[1]["tasks"]
    assert [task["cmd"] for task in tasks] == [task["cmd"] for task in SERIES]
    assert tasks[0] == {**SERIES[0], "stdout": "", "stderr": "", "error": None}
    assert tasks[1]["stdout"] == "content\n-r-xr-xr-x\n"
    assert tasks[2]["error"] == {"killed": False, "code": 3, "signal": None}
    assert "stdout" not in tasks[2]
    assert tasks[3]["stdout"] == "a\ufffdbä"
    assert tasks[4]["error"] == {"killed": False, "code": 1, "signal": None}
    assert "download of /files/nowhere failed: status 404" in tasks[4]["stderr"]
    assert tasks[5] == SERIES[5]
    assert not (tmp_path / "node/ran").exists()
    assert not any(request.keep_alive for request in peer.requests)
