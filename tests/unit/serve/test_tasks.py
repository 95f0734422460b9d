"""RackHD's task protocol from the server's side: with our agent as it is in the image, and with clients that err."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from builds import PROGRAM
from imagebuilder.cli.main import main
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.state import nodes, output, tasks
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.output import Position
from imagebuilder.serve.state.tasks import Order, Result, Task
from imagebuilder.store.layout import Layout
from node_agent import Agent
from serving import MAC, BootServer, boot_server

BOOTSTRAP = f"/api/current/tasks/bootstrap.js?macAddress={MAC}"


@pytest.fixture
def layout(small_store: Layout) -> Layout:
    return small_store


@pytest.fixture
def server(layout: Layout) -> Iterator[BootServer]:
    with boot_server(layout.root, "--image", "discovery") as server:
        yield server


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    (tmp_path / "node").mkdir()
    agent = Agent(tmp_path / "node")
    yield agent
    agent.stop()


def arguments_of(server: BootServer, mac: str = MAC) -> str:
    """Ask for a boot script; the kernel arguments that it carries."""
    match = re.search(r"initrd=initrd (.*)", server.get(f"/boot.ipxe?mac={mac}").body.decode())
    assert match
    return match[1]


def tasks_path(server: BootServer, mac: str = MAC, *, inventory: bool = True) -> str:
    """Boot, ask as an agent does, and do the first task; where the tasks are."""
    token = re.search(r"nb\.token=(\S+)", arguments_of(server, mac))
    assert token
    answer = server.get(f"/api/current/tasks/bootstrap.js?macAddress={mac}&token={token[1]}")
    assert answer.status == 200
    path: str = json.loads(answer.body)["tasksPath"]
    if inventory:
        given = json.loads(server.get(path).body)
        assert given["tasks"][0]["downloadUrl"].endswith("/inventory.sh")
        assert server.ask("POST", path, result(given["identifier"], "{}")).status == 201
    return path


def from_elsewhere(server: BootServer) -> tuple[str, str]:
    """The words that have a verb ask a server; the token is found beside the state."""
    return "--server", f"http://127.0.0.1:{server.port}"


def start_run(layout: Layout, *words: str) -> subprocess.Popen[str]:
    """`imagebuilder run WORDS`, as a user types it."""
    site = layout.root.parent
    argv: list[str | Path] = [PROGRAM, "run", "--cache", site / "cache", *words]
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(argv, cwd=site, stdin=nothing, stdout=pipe, stderr=pipe, text=True)


def run(layout: Layout, *words: str) -> tuple[int, str, str]:
    with start_run(layout, *words) as process:
        stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr


def test_commands_run_on_the_node_and_come_back_whole(layout: Layout, server: BootServer, agent: Agent) -> None:
    agent.boot_with(arguments_of(server))
    agent.start()
    server.line("ready for tasks")
    assert run(layout, "--node", MAC, "--", "printf", "%s|", "a b", "c'd") == (0, "a b|c'd|", "")
    status, stdout, stderr = run(layout, "--node", MAC, "--", "echo out; echo err >&2; exit 7")
    assert (status, stdout, stderr) == (7, "out\n", "err\n")
    assert run(layout, "--node", MAC, "--timeout", "1", "--", "tail -f /dev/null")[0] == 124
    done = run(layout, "--node", MAC, "--json", "--", "echo é; kill -9 $$")
    (result,) = json.loads(done[1])["results"]
    assert (done[0], result["status"], result["stdout"], result["state"]) == (137, 137, "é\n", "failed")
    assert run(layout, *from_elsewhere(server), "--node", MAC, "--", "echo far; exit 3") == (3, "far\n", "")


@pytest.mark.parametrize("is_far", [False, True], ids=["beside the server", "from elsewhere"])
def test_what_a_command_says_comes_while_it_runs_byte_for_byte(
    layout: Layout, server: BootServer, agent: Agent, tmp_path: Path, is_far: bool
) -> None:
    agent.boot_with(arguments_of(server))
    agent.start()
    server.line("ready for tasks")
    go = tmp_path / "go"
    script = f"echo begun; echo err >&2; until [ -e {go} ]; do sleep 0.1; done; printf 'a\\377\\000b'; exit 4"
    words = [*(from_elsewhere(server) if is_far else ()), "--node", MAC, "--", script]
    argv: list[str | Path] = [PROGRAM, "run", "--cache", layout.root.parent / "cache", *words]
    with subprocess.Popen(argv, cwd=layout.root.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout
        assert command.stderr
        assert command.stdout.readline() == b"begun\n"
        assert command.stderr.readline() == b"err\n"
        go.touch()
        stdout, _ = command.communicate(timeout=60)
    assert (command.returncode, stdout) == (4, b"a\xff\0b")


def test_output_is_taken_from_the_node_that_runs_the_command_and_in_order(layout: Layout, server: BootServer) -> None:
    path, other = tasks_path(server), tasks_path(server, "52:54:00:00:00:02")
    task_id = queue(layout, Order("true"))

    def say(start: object, data: bytes, by: str = path, stream: str = "stdout") -> int:
        return server.ask("POST", f"{by}/{task_id}/{stream}?start={start}", data).status

    assert say(0, b"early") == 404
    (command,) = json.loads(server.get(path).body)["tasks"]
    assert command["outputUrl"].endswith(f"{path}/{task_id}")
    assert [say(0, b"abc"), say(0, b"abc"), say(1, b"bcde"), say(9, b"x")] == [204, 204, 204, 409]
    assert [say("x", b""), say(-1, b""), say(0, b"x", other), say(0, b"x", stream="stdin")] == [400, 400, 404, 404]
    assert say(0, bytes((1 << 20) + 1)) == 413
    database = Database(str(layout.root.parent / "cache/serve/state.sqlite"))
    (news,) = database.do(lambda connection: output.news_of(connection, [Position(task_id)], 1))
    database.close()
    assert (news.stdout, news.stderr, news.ended) == (b"abcde", b"", None)
    assert server.ask("POST", path, result(task_id)).status == 201
    assert say(5, b"late") == 404


def test_node_takes_its_inventory_when_it_is_first_met(
    layout: Layout, server: BootServer, agent: Agent, capsys: pytest.CaptureFixture[str]
) -> None:
    site = layout.root.parent
    words = ["catalog", MAC, "--cache", str(site / "cache")]
    agent.boot_with(arguments_of(server))
    assert main(words) == 1
    assert "its agent has not asked for tasks yet" in capsys.readouterr().err
    agent.start()
    server.line("ready for tasks")
    assert run(layout, "--node", MAC, "--", "true")[0] == 0  # behind the inventory
    assert main([*words, "--json"]) == 0
    inventory = json.loads(capsys.readouterr().out)
    assert {"dmi", "memory", "cpu", "disks", "cards", "lshw", "pci", "neighbours", "ipmi"} == inventory.keys()
    (kilobytes,) = re.findall(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())
    assert inventory["memory"] == int(kilobytes) * 1024
    assert main([*words, "--renew"]) == 0
    assert re.search(r"^memory +\d", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("is_far", [False, True], ids=["beside the server", "from elsewhere"])
def test_command_survives_the_server(layout: Layout, agent: Agent, tmp_path: Path, is_far: bool) -> None:
    proof = tmp_path / "proof"
    with boot_server(layout.root, "--image", "discovery") as server:
        port = server.port
        agent.boot_with(arguments_of(server))
        agent.start()
        server.line("ready for tasks")
        far = from_elsewhere(server) if is_far else ()
        command = start_run(layout, *far, "--node", MAC, "--", f"echo begun >>{proof}; sleep 1; echo done")
        while not proof.exists():
            time.sleep(0.05)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    time.sleep(1.5)
    with command, boot_server(layout.root, "--image", "discovery", "--port", port):
        stdout, stderr = command.communicate(timeout=60)
    assert (command.returncode, stdout, proof.read_text()) == (0, "done\n", "begun\n")
    assert ("waiting for it" in stderr) is is_far


def test_agent_without_the_token_of_a_boot_is_turned_away(server: BootServer) -> None:
    arguments = arguments_of(server)
    token = arguments.partition("nb.token=")[2].split()[0]
    for query in ("", "&token=", f"&token={'0' * 24}", "&token=%27"):
        assert server.get(BOOTSTRAP + query).status == 403, query
    assert server.get(f"{BOOTSTRAP.replace('56', '57')}&token={token}").status == 403
    assert server.get(f"/api/current/tasks/bootstrap.js?macAddress=x&token={token}").status == 404
    assert server.get(f"{BOOTSTRAP.replace('current', '2.0')}&token={token}").status == 200
    assert server.get(f"/api/current/tasks/{token}").status == 404
    assert server.get(f"/api/current/tasks/{'0' * 24}").status == 404


def queue(layout: Layout, order: Order) -> str:
    database = Database(str(layout.root.parent / "cache/serve/state.sqlite"))

    def work(connection: Connection) -> str:
        node = nodes.find(connection, Identity(mac=MAC))
        assert node
        return tasks.queue(connection, node.id, order, 1)

    task_id = database.do(work)
    database.close()
    return task_id


def task(layout: Layout, task_id: str) -> Task:
    database = Database(str(layout.root.parent / "cache/serve/state.sqlite"))
    (found,) = database.do(lambda connection: tasks.ended(connection, [task_id], 1))
    database.close()
    return found


def result(task_id: str, stdout: str = "", error: Any = None) -> bytes:
    return json.dumps({"identifier": task_id, "tasks": [{"cmd": "x", "stdout": stdout, "error": error}]}).encode()


def test_task_is_given_once_and_its_first_result_counts(layout: Layout, server: BootServer) -> None:
    path = tasks_path(server)
    assert server.get(path).status == 204
    task_id = queue(layout, Order("true", timeout=5))
    given = json.loads(server.get(path).body)
    assert given["identifier"] == task_id
    (command,) = given["tasks"]
    assert command["cmd"] == "timeout --kill-after=10 5 /bin/sh -c true"
    assert server.get(command["downloadUrl"].partition(str(server.port))[2]).body == b""
    assert server.ask("POST", path, result(task_id, "first")).status == 201
    assert server.ask("POST", path, result(task_id, "second", {"code": 1})).status == 201
    assert task(layout, task_id).result == Result(0, "first", "")
    assert server.get(path).status == 204


def test_task_of_a_node_that_asks_again_is_lost_or_begun_again(layout: Layout, server: BootServer) -> None:
    path = tasks_path(server)
    lost, again = queue(layout, Order("a")), queue(layout, Order("b", retries=1))
    assert json.loads(server.get(path).body)["identifier"] == lost
    assert json.loads(server.get(path).body)["identifier"] == again
    path = tasks_path(server, inventory=False)
    assert json.loads(server.get(path).body)["identifier"] == again
    assert server.get(path).status == 204
    assert (task(layout, lost).state, task(layout, again).state) == ("lost", "lost")
    assert server.ask("POST", path, result(again, "late")).status == 201
    assert task(layout, again).state == "done"


def test_one_node_does_not_speak_for_another(layout: Layout, server: BootServer) -> None:
    path, other = tasks_path(server), tasks_path(server, "52:54:00:00:00:02")
    task_id = queue(layout, Order("true"))
    assert server.get(other).status == 204
    assert json.loads(server.get(path).body)["identifier"] == task_id
    assert server.ask("POST", other, result(task_id)).status == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 400),
        (b"[]", 400),
        (b'{"tasks": []}', 400),
        (b'{"identifier": 1, "tasks": [{}]}', 400),
        (b'{"identifier": "x", "tasks": [{}, {}]}', 400),
        (b'{"identifier": "%s", "tasks": [{"error": 1}]}' % (b"0" * 24), 400),
        (b"[" * 100_000, 400),
        (result("0" * 24), 404),
        (b"x" * 10_000_001, 413),
    ],
    ids=lambda value: str(value)[:30],
)
def test_result_that_is_none_is_refused(server: BootServer, body: bytes, status: int) -> None:
    path = tasks_path(server)
    try:
        assert server.ask("POST", path, body).status == status
    except (BrokenPipeError, ConnectionResetError):
        assert status == 413
    assert server.get(path).status == 204


def test_interrupted_command_is_not_begun_later(layout: Layout, server: BootServer) -> None:
    path = tasks_path(server)
    with start_run(layout, "--node", MAC, "--", "true") as command:
        database = Database(str(layout.root.parent / "cache/serve/state.sqlite"))
        node = database.do(lambda connection: nodes.find(connection, Identity(mac=MAC)))
        assert node
        while not any(it.order.command == "true" for it in database.do(partial(tasks.listed, now=1, node_id=node.id))):
            assert command.poll() is None
            time.sleep(0.05)
        database.close()
        command.send_signal(signal.SIGTERM)  # a shell's background jobs are deaf to SIGINT, and so are their children
        assert command.wait(10) == 130
    assert server.get(path).status == 204


def test_profile_is_all_of_its_nodes(layout: Layout, server: BootServer) -> None:
    profiles = "profiles: {a: {image: discovery}, b: {image: raid}}\ndefault: a\n"
    nodes_file = f'{profiles}nodes:\n  - {{mac: "52:54:00:00:00:03", profile: b}}\n'
    (layout.root.parent / "nodes.yml").write_text(nodes_file)
    paths = [tasks_path(server, f"52:54:00:00:00:0{number}") for number in (1, 2, 3)]

    def answer(path: str) -> None:
        while (given := server.get(path)).status == 204:
            time.sleep(0.05)
        error = {"code": 3} if path == paths[1] else None
        server.ask("POST", path, result(json.loads(given.body)["identifier"], "it\n", error))

    threads = [threading.Thread(target=answer, args=(path,)) for path in paths[:2]]
    for thread in threads:
        thread.start()
    status, stdout, stderr = run(layout, "--profile", "a", "--", "true")
    for thread in threads:
        thread.join()
    assert (status, stdout) == (3, "it\nit\n")
    assert sorted(stderr.split()) == ["52:54:00:00:00:01:", "52:54:00:00:00:02:"]
    assert server.get(paths[2]).status == 204


@pytest.mark.parametrize(
    "words",
    [
        ["--node", "52:54:00:00:00:09"],
        ["--profile", "a"],
        ["--node", MAC, "--destroys", "erase"],
        ["--node", MAC, "--timeout", "0"],
        ["--node"],
    ],
    ids=str,
)
def test_what_no_node_can_run_is_the_users_mistake(layout: Layout, server: BootServer, words: list[str]) -> None:
    assert run(layout, *words, "--", "true")[0] == 2
