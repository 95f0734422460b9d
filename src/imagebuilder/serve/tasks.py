"""RackHD's task protocol, the server's side.

    GET  /api/V/tasks/bootstrap.js?macAddress=MAC&token=T   where this node's tasks are
    GET  /api/V/tasks/ID                                    a series of one task, or 204
    POST /api/V/tasks/ID                                    the series with its result: 201
    POST /api/V/tasks/ID/TASK/stdout?start=N                what a command has said behind its first N bytes; or stderr
    GET  /api/V/tasks/ID/nothing, .../inventory.sh          what tasks have the node fetch: an empty file, a program

V is current, common, 1.1 or 2.0. T is the token that the boot script carried (nb.token=); ID is a token of the
agent's own, made when it asks for the first time. So a node is spoken for by who got its boot script, until it
asks for another.

Images of 2015 and 2016 know of no token: where a profile allows it, who asks without one from the address that got
the node's last boot script gets bootstrap.js, a program for Node.js.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from imagebuilder.host import clock
from imagebuilder.serve.body import read_body
from imagebuilder.serve.described import JSON, WORDS, Content, Description, described
from imagebuilder.serve.identity import MAC_PATTERN, Identity, normal_mac, normal_server
from imagebuilder.serve.nodes import Nodes
from imagebuilder.serve.state import boots, journal, nodes, output, tasks
from imagebuilder.serve.state.boots import Boot
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.journal import SERVER, Deed
from imagebuilder.serve.state.nodes import Node
from imagebuilder.serve.state.tasks import INVENTORY, TAKE_INVENTORY, Result, Task

_VERSION = "{version:current|common|1\\.1|2\\.0}"
_AGENT = f"/api/{_VERSION}/tasks/{{agent:[0-9a-f]{{24}}}}"
_RESULT_BYTES = 10_000_000
_PIECE_BYTES = 1 << 20
_KILL_AFTER = 10
_NUMBER = "[0-9]{1,9}"
_TOKEN = re.compile("[0-9a-f]{24}")
_INVENTORY = Path(__file__).with_name("inventory.sh")
_BOOTSTRAP = Path(__file__).with_name("bootstrap.js")
_NO_STORE = {"Cache-Control": "no-store"}
_JAVASCRIPT = "application/javascript"


class Bootstrap(BaseModel):
    """Which node asks, and the token of its boot script."""

    macAddress: Annotated[str, Field(pattern=f"^(?:{MAC_PATTERN})$")]  # noqa: N815 - RackHD's name
    token: str = ""


class Where(BaseModel):
    """The path of a node's tasks."""

    tasksPath: str  # noqa: N815 - RackHD's name


class Start(BaseModel):
    """How many bytes came before."""

    start: Annotated[str, Field(pattern=f"^{_NUMBER}$")]


def _refused(*statuses: int) -> dict[int, Content]:
    return dict.fromkeys(statuses, WORDS)


@dataclass(frozen=True, slots=True)
class Tasks:
    """The routes below /api/V/tasks/.

    `touch` hears of each node that is ready for tasks; `roster` says what may be destroyed where, and whose
    agents need no token.
    """

    database: Database
    tell: Callable[[str], None]
    touch: Callable[[str], None]
    roster: Callable[[], Nodes]

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get(f"/api/{_VERSION}/tasks/bootstrap.js", self._bootstrap),
            web.get(_AGENT, self._next, allow_head=False),
            web.post(_AGENT, self._result),
            web.post(f"{_AGENT}/{{task:[0-9a-f]{{24}}}}/{{stream:stdout|stderr}}", self._output),
            web.get(f"{_AGENT}/nothing", self._nothing),
            web.get(f"{_AGENT}/inventory.sh", self._inventory),
        ]

    @described(
        Description("Where a node's tasks are", {200: Content(JSON, Where), **_refused(403, 404)}, query=Bootstrap)
    )
    async def _bootstrap(self, request: web.Request) -> web.Response:
        try:
            mac = normal_mac(request.query.get("macAddress", ""))
        except ValueError as error:
            raise web.HTTPNotFound(text=f"// {error}\n") from None
        token, now = request.query.get("token"), clock.now()

        def admit(connection: Connection) -> tuple[Node, str] | None:
            if token is None:
                boot = self._boot_at(connection, mac, request.remote or "")
            else:
                boot = boots.of_token(connection, token) if _TOKEN.fullmatch(token) else None
            node = nodes.of_id(connection, boot.node_id) if boot else None
            if boot is None or node is None or node.identity.mac not in ("", mac):
                return None
            if tasks.inventory_of(connection, node.id) is None:
                tasks.queue(connection, node.id, TAKE_INVENTORY, now)
            return node, boots.admit_agent(connection, boot, now)

        admitted = await self.database.run(admit)
        if admitted is None:
            # Images of 2015 feed whatever comes to Node.js: to that, this says nothing.
            raise web.HTTPForbidden(text="// no boot script with this token was given to this address\n")
        node, agent = admitted
        self.touch(node.id)
        path = f"/api/{request.match_info['version']}/tasks/{agent}"
        if token is None:
            self.tell(f"{node.identity} ({request.remote}): WARNING: ready for tasks, known by its address alone")
            return web.Response(text=bootstrap_script(request.host, path), headers=_NO_STORE, content_type=_JAVASCRIPT)
        self.tell(f"{node.identity} ({request.remote}): ready for tasks")
        return web.json_response({"tasksPath": path}, headers=_NO_STORE)

    def _boot_at(self, connection: Connection, mac: str, address: str) -> Boot | None:
        """The last boot of a node, if its agent needs no token and its boot script went to this address."""
        node = nodes.find(connection, Identity(mac=mac))
        if node is None or node.address != address:
            return None
        boot = next(iter(boots.boots_of(connection, node.id)), None)
        return boot if boot and self.roster().takes_tasks_by_address(boot.choice.profile) else None

    @described(Description("The next task", {200: Content(JSON, dict[str, Any]), 204: None, **_refused(404)}))
    async def _next(self, request: web.Request) -> web.Response:
        agent, now = request.match_info["agent"], clock.now()

        def give(connection: Connection) -> tuple[bool, Task | None, list[Deed]]:
            boot = boots.of_agent(connection, agent)
            if boot is None:
                return False, None, []
            deeds = self._withdraw_forbidden(connection, boot.node_id, now)
            task = tasks.next_for(connection, boot.node_id, now)
            if task and task.order.destroys:
                deeds.append(Deed(SERVER, f"began to {task.order.destroys}", task.node, task.order.command))
            for deed in deeds:
                journal.note(connection, deed, now)
            return True, task, deeds

        known, task, deeds = await self.database.run(give)
        for deed in deeds:
            self.tell(str(deed))
        if not known:
            raise web.HTTPNotFound(text="no agent has its tasks here\n")
        if task is None:
            return web.Response(status=204, headers=_NO_STORE)
        return web.json_response(series(task, f"http://{request.host}{request.path}"), headers=_NO_STORE)

    def _withdraw_forbidden(self, connection: Connection, node_id: str, now: int) -> list[Deed]:
        """Profiles may have changed since somebody asked: what is not allowed now is not begun."""
        waiting = tasks.waiting_to_destroy(connection, node_id)
        if not waiting:
            return []
        roster, identity = self.roster(), nodes.of_id(connection, node_id).identity
        forbidden = [task for task in waiting if not roster.allows(identity, task.order.destroys)]
        tasks.withdraw(connection, [task.id for task in forbidden], now)
        return [
            Deed(SERVER, f"did not {it.order.destroys}", it.node, "its profile allows it no more") for it in forbidden
        ]

    @described(
        Description(
            "The result of a task",
            {201: None, **_refused(400, 404, 408, 413)},
            bodies=(Content(JSON, dict[str, Any]),),
        )
    )
    async def _result(self, request: web.Request) -> web.Response:
        agent, now = request.match_info["agent"], clock.now()
        # Strangers are not listened to for long.
        if await self.database.run(lambda connection: boots.of_agent(connection, agent)) is None:
            raise web.HTTPNotFound(text="no agent has its tasks here\n")
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

    @described(
        Description(
            "What a command has said behind its first bytes, while it runs",
            {204: None, **_refused(400, 404, 408, 409, 413)},
            query=Start,
            bodies=(Content("application/octet-stream"),),
        )
    )
    async def _output(self, request: web.Request) -> web.Response:
        agent, task_id, stream = (request.match_info[name] for name in ("agent", "task", "stream"))
        start = request.query.get("start", "")
        if not re.fullmatch(_NUMBER, start):
            raise web.HTTPBadRequest(text="start is no number\n")
        data = await read_body(request, _PIECE_BYTES)

        def take(connection: Connection) -> bool | None:
            boot = boots.of_agent(connection, agent)
            if boot is None or not output.is_running(connection, boot.node_id, task_id):
                return None
            return output.take(connection, task_id, stream, int(start), data)

        taken = await self.database.run(take)
        if taken is None:
            raise web.HTTPNotFound(text="this node has no such task now\n")
        if not taken:
            raise web.HTTPConflict(text="what comes before this is not known\n")
        return web.Response(status=204)

    @described(Description("An empty file", {200: None, **_refused(404)}))
    async def _nothing(self, _: web.Request) -> web.Response:
        return web.Response(body=b"")

    @described(
        Description("A program that takes an inventory", {200: Content("application/octet-stream"), **_refused(404)})
    )
    async def _inventory(self, _: web.Request) -> web.Response:
        return web.Response(body=_INVENTORY.read_bytes())


def bootstrap_script(host: str, path: str) -> str:
    """The agent for Node.js, whose tasks are at `path` of the server that it asked as `host`."""
    server, _, port = normal_server(host).rpartition(":")
    place = {"server": server, "port": int(port), "path": path}
    return Template(_BOOTSTRAP.read_text(encoding="utf-8")).substitute(place=json.dumps(place))


def series(task: Task, url: str) -> dict[str, Any]:
    """A task as agents get it, whose tasks are at `url`.

    A task that fails carries its words only if it had a download: so each has one. `outputUrl` is our own: agents that
    do not know it say everything at the end.
    """
    name = "inventory.sh" if task.order.kind == INVENTORY else "nothing"
    words = ["timeout", f"--kill-after={_KILL_AFTER}", str(task.order.timeout), "/bin/sh", "-c", task.order.command]
    command = {"cmd": shlex.join(words), "downloadUrl": f"{url}/{name}", "outputUrl": f"{url}/{task.id}"}
    return {"identifier": task.id, "tasks": [command]}


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
