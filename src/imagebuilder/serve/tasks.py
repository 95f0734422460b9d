"""RackHD's task protocol, the server's side.

    GET  /api/V/tasks/bootstrap.js?macAddress=MAC&token=T   where this node's tasks are
    GET  /api/V/tasks/ID                                    a series of one task, or 204
    POST /api/V/tasks/ID                                    the series with its result: 201
    GET  /api/V/tasks/ID/nothing, .../inventory.sh          what tasks have the node fetch: an empty file, a program

V is current, common, 1.1 or 2.0. T is the token that the boot script carried (nb.token=); ID is a token of the
agent's own, made when it asks for the first time. So a node is spoken for by who got its boot script, until it
asks for another.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from imagebuilder.host import clock
from imagebuilder.serve.body import read_body
from imagebuilder.serve.identity import normal_mac
from imagebuilder.serve.state import boots, nodes, tasks
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.nodes import Node
from imagebuilder.serve.state.tasks import INVENTORY, TAKE_INVENTORY, Result, Task

_VERSION = "{version:current|common|1\\.1|2\\.0}"
_AGENT = f"/api/{_VERSION}/tasks/{{agent:[0-9a-f]{{24}}}}"
_RESULT_BYTES = 10_000_000
_KILL_AFTER = 10
_TOKEN = re.compile("[0-9a-f]{24}")
_INVENTORY = Path(__file__).with_name("inventory.sh")
_NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Tasks:
    """The routes below /api/V/tasks/."""

    database: Database
    tell: Callable[[str], None]

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get(f"/api/{_VERSION}/tasks/bootstrap.js", self._bootstrap),
            web.get(_AGENT, self._next, allow_head=False),
            web.post(_AGENT, self._result),
            web.get(f"{_AGENT}/nothing", self._nothing),
            web.get(f"{_AGENT}/inventory.sh", self._inventory),
        ]

    async def _bootstrap(self, request: web.Request) -> web.Response:
        try:
            mac = normal_mac(request.query.get("macAddress", ""))
        except ValueError as error:
            raise web.HTTPNotFound(text=f"{error}\n") from None
        token, now = request.query.get("token", ""), clock.now()

        def admit(connection: Connection) -> tuple[Node, str] | None:
            boot = boots.of_token(connection, token) if _TOKEN.fullmatch(token) else None
            node = nodes.of_id(connection, boot.node_id) if boot else None
            if boot is None or node is None or node.identity.mac not in ("", mac):
                return None
            if tasks.inventory_of(connection, node.id) is None:
                tasks.queue(connection, node.id, TAKE_INVENTORY, now)
            return node, boots.admit_agent(connection, boot, now)

        admitted = await self.database.run(admit)
        if admitted is None:
            raise web.HTTPForbidden(text="no boot script with this token was given to this address\n")
        node, agent = admitted
        self.tell(f"{node.identity} ({request.remote}): ready for tasks")
        path = f"/api/{request.match_info['version']}/tasks/{agent}"
        return web.json_response({"tasksPath": path}, headers=_NO_STORE)

    async def _next(self, request: web.Request) -> web.Response:
        agent, now = request.match_info["agent"], clock.now()

        def give(connection: Connection) -> tuple[bool, Task | None]:
            boot = boots.of_agent(connection, agent)
            return boot is not None, tasks.next_for(connection, boot.node_id, now) if boot else None

        known, task = await self.database.run(give)
        if not known:
            raise web.HTTPNotFound(text="no agent has its tasks here\n")
        if task is None:
            return web.Response(status=204, headers=_NO_STORE)
        return web.json_response(series(task, f"http://{request.host}{request.path}"), headers=_NO_STORE)

    async def _result(self, request: web.Request) -> web.Response:
        agent, now = request.match_info["agent"], clock.now()
        body = await read_body(request, _RESULT_BYTES)
        try:
            task_id, result = parse_result(body)
        except (ValueError, RecursionError) as error:
            raise web.HTTPBadRequest(text=f"this is no result: {error}\n") from None

        def finish(connection: Connection) -> bool:
            boot = boots.of_agent(connection, agent)
            return boot is not None and tasks.finish(connection, boot.node_id, task_id, result, now)

        if not await self.database.run(finish):
            raise web.HTTPNotFound(text="this node was given no such task\n")
        return web.Response(status=201)

    async def _nothing(self, _: web.Request) -> web.Response:
        return web.Response(body=b"")

    async def _inventory(self, _: web.Request) -> web.Response:
        return web.Response(body=_INVENTORY.read_bytes())


def series(task: Task, url: str) -> dict[str, Any]:
    """A task as agents get it, whose tasks are at `url`.

    A task that fails carries its words only if it had a download: so each has one.
    """
    name = "inventory.sh" if task.order.kind == INVENTORY else "nothing"
    words = ["timeout", f"--kill-after={_KILL_AFTER}", str(task.order.timeout), "/bin/sh", "-c", task.order.command]
    return {"identifier": task.id, "tasks": [{"cmd": shlex.join(words), "downloadUrl": f"{url}/{name}"}]}


def parse_result(body: bytes) -> tuple[str, Result]:
    """The id of a task, and how it ended, out of the series that an agent posts. Raises ValueError for what is none."""
    value = json.loads(body)
    try:
        identifier, (task,) = value["identifier"], value["tasks"]
        status = _status(task.get("error"))
        stdout, stderr = (_text(task.get(name) or "") for name in ("stdout", "stderr"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(repr(error)) from None
    if not (isinstance(identifier, str) and _TOKEN.fullmatch(identifier)):
        raise ValueError("it does not say which task")
    return identifier, Result(status, stdout, stderr)


def _status(error: Any) -> int:
    """The exit status that an agent's `error` says, 1 for one that says none."""
    if error is None:
        return 0
    code = error.get("code")
    return code if type(code) is int and 0 < code < 256 else 1


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("what should be text is none")
    # PostgreSQL has no place for a NUL, nor UTF-8 for half of a character.
    return value.replace("\0", "").encode("utf-8", "replace").decode()
