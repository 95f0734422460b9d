"""How the agent runs tasks, and what it says about them, item by item of the protocol."""

from __future__ import annotations

from typing import Any

import pytest

from node_agent import Agent
from rackhd import IDENTIFIER, Answer, TaskServer

BUFFER = 5_120_000


def _run(agent: Agent, server: TaskServer, *tasks: dict[str, Any], **more: object) -> list[dict[str, Any]]:
    server.give(*tasks, **more)
    agent.start()
    result = server.result()
    assert result["identifier"] == IDENTIFIER
    assert len(result["tasks"]) == len(tasks)
    return list(result["tasks"])


def test_a_task_runs_by_sh_and_its_words_come_back(agent: Agent, server: TaskServer) -> None:
    [task] = _run(agent, server, {"cmd": "echo out; echo err >&2"})
    assert task == {"cmd": "echo out; echo err >&2", "stdout": "out\n", "stderr": "err\n", "error": None}


def test_an_empty_command_succeeds_with_empty_output(agent: Agent, server: TaskServer) -> None:
    assert _run(agent, server, {"cmd": ""}) == [{"cmd": "", "stdout": "", "stderr": "", "error": None}]


COMMANDS = {
    "printf '%s' \"it's\" # quotes": "it's",
    "cat <<'X'\n$HOME `id` \\n\nX\n": "$HOME `id` \\n\n",
    "echo trailing newlines\n\n\n": "trailing newlines\n",
    "\n  echo leading space": "leading space\n",
    "printf %s 'ümläut € 😀 \u2028'": "ümläut € 😀 \u2028",
    "printf '%s' '*' ? [a]; # \t tab": "*?[a]",
    "echo joined \\\n && echo continued": "joined\ncontinued\n",
    "echo '&amp; <%= x %> \x7f'": "&amp; <%= x %> \x7f\n",
}


def test_commands_run_as_they_are_and_are_echoed_byte_for_byte(agent: Agent, server: TaskServer) -> None:
    tasks = _run(agent, server, *({"cmd": command} for command in COMMANDS))
    assert {t["cmd"]: t["stdout"] for t in tasks} == COMMANDS
    assert all(t["error"] is None for t in tasks)


def test_everything_else_in_a_task_is_echoed(agent: Agent, server: TaskServer) -> None:
    extra = {
        "source": "bmc",
        "format": "raw",
        "catalog": {"source": "x"},
        "retries": 3,
        "timeout": -1,
        "x": [None, 1.5],
    }
    [task] = _run(agent, server, {"cmd": "true", **extra})
    assert task == {"cmd": "true", **extra, "stdout": "", "stderr": "", "error": None}


def test_a_command_reads_nothing_and_starts_in_the_folder_of_the_agent(agent: Agent, server: TaskServer) -> None:
    [task] = _run(agent, server, {"cmd": "cat; pwd; env"})
    assert task["stdout"].splitlines()[0] == str(agent.work)
    assert "API_CB" not in task["stdout"]


def test_a_failure_stops_the_series_and_later_tasks_come_back_unrun(agent: Agent, server: TaskServer) -> None:
    tasks = _run(agent, server, {"cmd": "echo 1"}, {"cmd": "echo said; exit 3"}, {"cmd": "touch ran", "x": 1})
    assert tasks[0]["error"] is None
    assert tasks[1] == {"cmd": "echo said; exit 3", "error": {"killed": False, "code": 3, "signal": None}}
    assert tasks[2] == {"cmd": "touch ran", "x": 1}
    assert not (agent.work / "ran").exists()


@pytest.mark.parametrize(
    ("accepted", "goes_on"),
    [([3], True), ([1, 3], True), ([0, 1], False), ([33], False), ([], False), (["3"], False), (3, False)],
)
def test_only_an_accepted_response_code_lets_a_failed_series_go_on(
    agent: Agent, server: TaskServer, accepted: object, goes_on: bool
) -> None:
    first, second = _run(agent, server, {"cmd": "exit 3", "acceptedResponseCodes": accepted}, {"cmd": "echo on"})
    assert first["error"] == {"killed": False, "code": 3, "signal": None}
    assert (second.get("stdout") == "on\n") is goes_on


@pytest.mark.parametrize(("name", "number"), [("KILL", 9), ("TERM", 15), ("SEGV", 11)])
def test_a_command_that_a_signal_ended_says_which(agent: Agent, server: TaskServer, name: str, number: int) -> None:
    [task] = _run(agent, server, {"cmd": f"kill -{name} $$"})
    assert task["error"] == {"killed": False, "code": 128 + number, "signal": f"SIG{name}"}


def test_an_exit_status_that_is_no_signal_says_none(agent: Agent, server: TaskServer) -> None:
    [task] = _run(agent, server, {"cmd": "exit 255"})
    assert task["error"] == {"killed": False, "code": 255, "signal": None}


def test_a_command_that_does_not_exist_fails_with_127(agent: Agent, server: TaskServer) -> None:
    [task] = _run(agent, server, {"cmd": "no-such-program"})
    assert task["error"]["code"] == 127


def test_output_is_decoded_as_utf8_with_replacement(agent: Agent, server: TaskServer) -> None:
    [task] = _run(agent, server, {"cmd": r"printf 'a\377b\303\244c\000d\302'; printf '\200' >&2"})
    assert task["stdout"] == "a\ufffdbäc\0d\ufffd"
    assert task["stderr"] == "\ufffd"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_up_to_the_buffer_is_kept_whole(agent: Agent, server: TaskServer, stream: str) -> None:
    say = f"head -c {BUFFER} /dev/zero | tr '\\0' x" + (" >&2" if stream == "stderr" else "")
    [task] = _run(agent, server, {"cmd": say})
    assert task["error"] is None
    assert task[stream] == "x" * BUFFER


@pytest.mark.parametrize("size", [BUFFER + 1, 6_000_000])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_command_that_says_more_than_the_buffer_is_killed(
    agent: Agent, server: TaskServer, size: int, stream: str
) -> None:
    server.files["/tool"] = Answer()
    say = f"head -c {size} /dev/zero" + (" >&2" if stream == "stderr" else "")
    first, second = _run(agent, server, {"cmd": f"{say}; exec /bin/sleep 60", "downloadUrl": "/tool"}, {"cmd": "true"})
    assert first["error"] == {"killed": True, "code": 143, "signal": "SIGTERM"}
    assert first[stream] == "\0" * BUFFER
    assert "error" not in second


def test_a_daemon_that_holds_the_pipes_does_not_hold_up_the_result(agent: Agent, server: TaskServer) -> None:
    command = "(while :; do echo daemon; /bin/sleep 0.1; done) & echo $! >pid; echo started"
    tasks = _run(agent, server, {"cmd": command}, {"cmd": "/bin/sleep 0.5; kill -0 $(cat pid) && kill $(cat pid)"})
    assert "started\n" in tasks[0]["stdout"]
    assert [t["error"] for t in tasks] == [None, None]


def test_a_download_lies_beside_the_command_executable_and_without_its_query(agent: Agent, server: TaskServer) -> None:
    server.files["/api/current/templates/tool.sh?nodeId=5f&a=b/c"] = Answer(body=b"#!/bin/sh\necho tool says $1\n")
    url = f"http://{server.authority}/api/current/templates/tool.sh?nodeId=5f&a=b/c"
    [task] = _run(agent, server, {"cmd": "stat -c %a tool.sh; ./tool.sh hello", "downloadUrl": url})
    assert task["stdout"] == "555\ntool says hello\n"
    assert task["downloadUrl"] == url


def test_a_download_may_be_a_path_on_the_server_and_may_come_again(agent: Agent, server: TaskServer) -> None:
    server.files["/common/data.bin"] = Answer(body=bytes(range(256)) * 1000)
    task = {"cmd": "wc -c <data.bin", "downloadUrl": "/common/data.bin"}
    assert [t["stdout"] for t in _run(agent, server, task, task)] == ["256000\n", "256000\n"]


def test_a_failed_task_with_a_download_carries_its_words(agent: Agent, server: TaskServer) -> None:
    server.files["/tool"] = Answer(body=b"#!/bin/sh\necho out; echo err >&2; exit 4\n")
    [task] = _run(agent, server, {"cmd": "./tool", "downloadUrl": "/tool"})
    assert task["error"] == {"killed": False, "code": 4, "signal": None}
    assert (task["stdout"], task["stderr"]) == ("out\n", "err\n")


def test_a_download_that_is_not_there_fails_its_task_clearly(agent: Agent, server: TaskServer) -> None:
    first, second = _run(
        agent, server, {"cmd": "touch ran", "downloadUrl": "/gone?x=1", "acceptedResponseCodes": [22]}, {"cmd": "true"}
    )
    assert first["error"] == {"killed": False, "code": 22, "signal": None}
    assert "404" in first["stderr"]
    assert f"http://{server.authority}/gone?x=1" in first["stderr"]
    assert second == {"cmd": "true"}
    assert list(agent.work.iterdir()) == []


def test_a_download_is_tried_again_when_the_server_is_busy(agent: Agent, server: TaskServer) -> None:
    server.busy = 2
    server.files["/tool"] = Answer(body=b"#!/bin/sh\necho here\n")
    [task] = _run(agent, server, {"cmd": "./tool", "downloadUrl": "/tool"})
    assert task["stdout"] == "here\n"
    assert len(server.asked("GET", "/tool")) == 3


def test_a_series_without_tasks_is_answered(agent: Agent, server: TaskServer) -> None:
    assert _run(agent, server) == []


def test_one_series_follows_another_with_nothing_left_over(agent: Agent, server: TaskServer) -> None:
    server.give({"cmd": "echo one"}, {"cmd": "false"})
    server.give({"cmd": "echo two"})
    agent.start()
    assert server.result()["tasks"][0]["stdout"] == "one\n"
    assert server.result()["tasks"] == [{"cmd": "echo two", "stdout": "two\n", "stderr": "", "error": None}]
