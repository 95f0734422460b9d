"""How the agent finds its server, asks it, answers it, and what it does in the end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable

import pytest

from node_agent import Agent
from rackhd import MAC, NODE, Answer, TaskServer, task_server

TASKS = f"/api/current/tasks/{NODE}"
BOOTSTRAP = "/api/current/tasks/bootstrap.js"


def _until(condition: Callable[[], object], timeout: float = 20) -> None:
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def test_it_waits_for_a_server_that_is_not_there_yet(agent: Agent) -> None:
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    agent.boot_with(f"API_CB=127.0.0.1:{port} BOOTIF=01-{MAC}")
    agent.start()
    _until(lambda: len(agent.delays) >= 3)
    assert set(agent.delays) == {"5"}
    with task_server(port) as server:
        server.give({"cmd": "echo up"})
        assert server.result()["tasks"][0]["stdout"] == "up\n"


@pytest.mark.parametrize(
    "page",
    [
        Answer(404, b"<h1>Cannot GET '/api/current/tasks/bootstrap.js'</h1>"),
        Answer(500, b"process.exit(1)"),
        Answer(200, b"<html>a captive portal</html>"),
        Answer(drop=True),
    ],
)
def test_an_error_page_instead_of_the_script_makes_it_ask_again(agent: Agent, server: TaskServer, page: Answer) -> None:
    server.bootstrap.extend([page, page])
    server.give({"cmd": "echo up"})
    agent.start()
    assert server.result()["tasks"][0]["stdout"] == "up\n"
    assert len(server.asked("GET", BOOTSTRAP)) == 3
    assert agent.delays[:2] == ["5", "5"]
    assert not agent.orders.exists()


@pytest.mark.parametrize(
    "text",
    [
        "server = '{host}',\n port = '{port}',\n tasksPath = '/api/current/tasks/{node}',\n",
        "var server='{host}',port='{port}',tasksPath='/api/current/tasks/{node}';exec();",
        'const server = "{host}";\nconst port = {port};\nconst tasksPath = "/api/current/tasks/{node}";\n',
        '{{"server": "{host}", "port": {port}, "tasksPath": "/api/current/tasks/{node}"}}',
        "tasksPath = '/api/current/tasks/{node}'",
    ],
)
def test_it_takes_the_address_out_of_the_script_in_every_likely_form(
    agent: Agent, server: TaskServer, text: str
) -> None:
    filled = text.format(host=server.host, port=server.port, node=NODE)
    server.bootstrap.append(Answer(body=filled.encode()))
    server.give({"cmd": "echo up"})
    agent.start()
    assert server.result()["tasks"][0]["stdout"] == "up\n"


def test_the_tasks_may_be_at_another_server_than_the_one_asked_first(agent: Agent, server: TaskServer) -> None:
    with task_server() as other:
        server.bootstrap.append(Answer(body=other.bootstrap_js()))
        other.files["/tool"] = Answer(body=b"#!/bin/sh\necho other\n")
        other.give({"cmd": "./tool", "downloadUrl": "/tool"})
        agent.start()
        assert other.result()["tasks"][0]["stdout"] == "other\n"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "bootif",
    [
        "01-52:54:00:12:34:56",
        "01-52-54-00-12-34-56",
        "06-52-54-00-12-34-56",
        "52:54:00:12:34:56",
        "52-54-00-12-34-56",
    ],
)
def test_it_gives_the_mac_of_bootif_with_colons(agent: Agent, server: TaskServer, bootif: str) -> None:
    agent.boot_with(f"API_CB={server.authority} BOOTIF={bootif} ip=dhcp")
    agent.start()
    _until(lambda: server.asked("GET", TASKS))
    assert server.requests[0].path == f"{BOOTSTRAP}?macAddress={MAC}"


def test_it_gives_the_mac_of_bootif_in_lower_case(agent: Agent, server: TaskServer) -> None:
    agent.boot_with(f"API_CB={server.authority} BOOTIF=01-AA-BB-CC-DD-EE-FF")
    agent.start()
    _until(lambda: server.requests)
    assert server.requests[0].path == f"{BOOTSTRAP}?macAddress=aa:bb:cc:dd:ee:ff"


def test_what_the_initrd_wrote_down_is_taken_before_the_command_line(agent: Agent, server: TaskServer) -> None:
    agent.boot_with("API_CB=192.0.2.1:1 BOOTIF=01-00-00-00-00-00-00")
    agent.boot_env.write_text(f"API_CB='{server.authority}'\nBOOTIF_MAC='{MAC}'\nSYSLOGSERVER=''\n")
    server.give({"cmd": "echo up"})
    agent.start()
    assert server.result()["tasks"][0]["stdout"] == "up\n"


def test_without_a_server_it_ends_quietly(agent: Agent) -> None:
    agent.boot_with("")
    assert agent.start().wait() == 0


@pytest.mark.parametrize(
    "idle",
    [
        Answer(404, b"<h1>Not Found</h1>"),
        Answer(204),
        Answer(500, b'{"message":"x"}'),
        Answer(200, b""),
        Answer(200, b"<html>a page</html>"),
        Answer(200, b'{"message": "no tasks"}'),
        Answer(200, b"[]"),
        Answer(404, json.dumps({"identifier": "x", "tasks": [{"cmd": "touch ran"}]}).encode()),
        Answer(drop=True),
    ],
)
def test_anything_but_a_series_is_idle_and_asked_again_after_five_seconds(
    agent: Agent, server: TaskServer, idle: Answer
) -> None:
    server.series.extend([idle, idle])
    server.give({"cmd": "echo up"})
    agent.start()
    assert server.result()["tasks"][0]["stdout"] == "up\n"
    assert agent.delays[:2] == ["5", "5"]
    assert len(server.asked("GET", BOOTSTRAP)) == 1
    assert len(server.asked("POST", TASKS)) == 1
    assert not (agent.work / "ran").exists()


def test_every_exchange_is_a_connection_of_its_own(agent: Agent, server: TaskServer) -> None:
    server.give({"cmd": "echo up"})
    agent.start()
    server.result()
    _until(lambda: len(server.requests) >= 5)
    requests = list(server.requests)
    assert len({r.connection for r in requests}) == len(requests)
    assert not any(r.keep_alive for r in requests)


def test_a_result_is_delivered_again_with_growing_delay_and_the_same_body(agent: Agent, server: TaskServer) -> None:
    lost = [Answer(drop=True)] * 13 + [Answer(502), Answer(503)]
    server.receipts.extend(lost)
    server.give({"cmd": "date +%N"})
    agent.start()
    _until(lambda: len(server.asked("POST", TASKS)) == 16)
    bodies = {r.body for r in server.asked("POST", TASKS)}
    assert len(bodies) == 1
    assert agent.delays[:15] == [str(min(5 * n, 60)) for n in range(1, 16)]
    assert len(server.asked("GET", TASKS)) == 1


@pytest.mark.parametrize("receipt", [Answer(200), Answer(201), Answer(404), Answer(500, b"unknown task")])
def test_any_answer_of_the_server_itself_settles_the_result(agent: Agent, server: TaskServer, receipt: Answer) -> None:
    server.receipts.append(receipt)
    server.give({"cmd": "echo up"})
    agent.start()
    server.result()
    _until(lambda: len(server.asked("GET", TASKS)) >= 2)
    assert len(server.asked("POST", TASKS)) == 1


def test_a_large_result_is_delivered(agent: Agent, server: TaskServer) -> None:
    server.give({"cmd": "head -c 4000000 /dev/zero | tr '\\0' '\"'"})
    agent.start()
    assert server.result()["tasks"][0]["stdout"] == '"' * 4_000_000


@pytest.mark.parametrize(
    ("order", "power"),
    [
        (0, "reset"),
        (1, "reset"),
        (2, "cycle"),
        (3, "reset"),
        ({"code": 1}, "reset"),
        ({"code": 2}, "cycle"),
        ({"code": 0}, "reset"),
        ({}, "reset"),
    ],
)
def test_the_exit_of_a_series_is_echoed_and_then_obeyed(
    agent: Agent, server: TaskServer, order: object, power: str
) -> None:
    server.give({"cmd": ""}, exit=order)
    agent.start()
    assert server.result()["exit"] == order
    assert agent.wait() == 0
    assert agent.orders.read_text() == f"{power}\n"


@pytest.mark.parametrize("order", [127, {"code": 127}])
def test_exit_127_stays_up_and_asks_no_more(agent: Agent, server: TaskServer, order: object) -> None:
    server.give({"cmd": "echo up"}, exit=order)
    agent.start()
    assert server.result()["tasks"][0]["stdout"] == "up\n"
    assert agent.wait() == 0
    assert not agent.orders.exists()
    assert len(server.asked("GET", TASKS)) == 1


def test_exit_waits_until_the_result_is_delivered(agent: Agent, server: TaskServer) -> None:
    server.receipts.extend([Answer(drop=True), Answer(drop=True)])
    server.give({"cmd": "false"}, exit=1)
    agent.start()
    assert agent.wait() == 0
    assert len(server.asked("POST", TASKS)) == 3
    assert agent.orders.read_text() == "reset\n"


def test_a_series_without_exit_is_followed_by_the_next_question(agent: Agent, server: TaskServer) -> None:
    server.give({"cmd": "true"}, exit=None)
    agent.start()
    server.result()
    _until(lambda: len(server.asked("GET", TASKS)) >= 2)
    assert not agent.orders.exists()
