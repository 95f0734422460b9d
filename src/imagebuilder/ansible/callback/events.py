"""Ansible's progress as events: one JSON object a line, appended to the file that IMAGEBUILDER_EVENTS names.

    {"event": "start", "task": "role : name", "where": "/path/main.yml:3"}
    {"event": "end", "task": ..., "where": ..., "status": "ok", "seconds": 0.4}
    {"event": "end", ..., "status": "failed", "message": ..., "output": ..., "origin": ..., "item": ...}

`status` is ok, changed, skipped, ignored (failed, and the role says that this
is fine) or failed. A line for people goes to standard output after each event,
which also tells the reader of the file that there is more to read.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from ansible.plugins.callback import CallbackBase

from imagebuilder.host import clock

# Plugins that a role brings along are loaded later: they must not leave compiled files in the image tree.
sys.dont_write_bytecode = True

_ORIGIN = re.compile(r"^Origin: (.+?)(?::\d+)?$", re.MULTILINE)


class CallbackModule(CallbackBase):
    """The only callback of a build's `ansible-playbook`."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "events"

    def __init__(self) -> None:
        super().__init__()
        self._started = clock.monotonic()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._started = clock.monotonic()
        identity = _identity(task)
        self._say({"event": "start", **identity}, f"TASK [{identity['task']}]")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        self.v2_playbook_on_task_start(task, False)

    def v2_runner_on_ok(self, result: Any) -> None:
        self._end(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._end(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._end(result, "failed", **_failure(result))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._end(result, "ignored" if ignore_errors else "failed", **_failure(result))

    def _end(self, result: Any, status: str, **more: Any) -> None:
        seconds = round(clock.monotonic() - self._started, 3)
        event = {"event": "end", **_identity(result.task), "status": status, "seconds": seconds, **more}
        self._say(event, f"{status} ({seconds:.1f} s)")

    def _say(self, event: Mapping[str, Any], line: str) -> None:
        with open(os.environ["IMAGEBUILDER_EVENTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
        self._display.display(line)


def _identity(task: Any) -> dict[str, str]:
    # Ansible puts the role's whole path in front: `roles/overlay/provision_x : Install`.
    return {"task": re.sub(r"^(\S*/)(?=\S+ : )", "", task.get_name()), "where": task.get_path()}


def _failure(result: Any) -> dict[str, Any]:
    """Why a task failed; of a loop, why its first failed item did."""
    values = result.result
    failed = [r for r in values.get("results") or [] if isinstance(r, dict) and r.get("failed")]
    values = failed[0] if failed else values
    output = [values.get(key) for key in ("module_stderr", "module_stdout", "stdout", "stderr")]
    return {
        "message": _here(_message(values)),
        "output": "\n".join(text.rstrip("\n") for text in output if isinstance(text, str) and text.strip()),
        "origin": _here(_origin(getattr(result.exception, "event", None))),
        "item": str(values["item"]) if "item" in values else None,
    }


def _message(values: Mapping[str, Any]) -> str:
    if values.get("rc") and "cmd" in values:
        command = values["cmd"]
        return f"`{command if isinstance(command, str) else shlex.join(command)}` ended with status {values['rc']}"
    found = [values[key] for key in ("msg", "reason", "censored") if values.get(key)]
    message = str(found[0]) if found else "it does not say why"
    return re.sub(r"^(?:Task failed: |Unexpected \w+ error: )+", "", message)


def _here(text: str) -> str:
    """Paths in the play's folder as the role wrote them: the folder is gone when the text is read."""
    return text.replace(f"{os.getcwd()}/", "")


def _origin(event: Any) -> str:
    """`FILE:LINE` of the value at fault: the place that the innermost of nested errors names."""
    found = ""
    while event:
        origins = _ORIGIN.findall(event.formatted_source_context or "")
        found = origins[0] if origins else found
        event = event.chain.event if event.chain else None
    return found
