"""What the page asks for when somebody looks at one thing. Shaped for it: programs use the other paths of /api/1/.

GET /api/1/page/nodes/ID       a node's boots, tasks, hardware
GET /api/1/page/boots/ID       the phases of a boot, and the log of one that failed
GET /api/1/page/boots?hours=N  how many boots began when, by outcome
GET /api/1/page/tasks/ID       a task with its output, as far as there is any
GET /api/1/page/hardware?q=    nodes whose hardware has all of these words
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from aiohttp import web
from sqlalchemy import Connection

from imagebuilder.host import clock
from imagebuilder.serve.inventories import Inventories
from imagebuilder.serve.state import boots, output, tasks
from imagebuilder.serve.state.boots import Boot
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.output import Position
from imagebuilder.serve.state.overview import boots_since, recent_tasks
from imagebuilder.serve.state.tasks import GIVEN, Task

_ID = "{id:[0-9a-f]{24}}"
_NO_STORE = {"Cache-Control": "no-store"}
_TASKS_OF_NODE = 20
_OUTPUT = 200_000
"""Characters of an output that are shown: its end."""
_STRETCHES = 60
_MOST_HOURS = 24 * 31

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Details:
    """The routes below /api/1/page/ that read the state."""

    database: Database
    inventories: Inventories

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get(f"/api/1/page/nodes/{_ID}", self._node),
            web.get(f"/api/1/page/boots/{_ID}", self._boot),
            web.get("/api/1/page/boots", self._boots),
            web.get(f"/api/1/page/tasks/{_ID}", self._task),
            web.get("/api/1/page/hardware", self._hardware),
        ]

    async def _node(self, request: web.Request) -> web.Response:
        node_id = request.match_info["id"]

        def read(connection: Connection) -> dict[str, Any]:
            inventory = tasks.inventory_of(connection, node_id)
            return {
                "boots": [_without_log(boot) for boot in boots.boots_of(connection, node_id)],
                "tasks": [asdict(task) for task in recent_tasks(connection, _TASKS_OF_NODE, node_id=node_id)],
                "inventory": inventory.state if inventory else "",
            }

        value = await self.database.run(read)
        return _json({**value, "hardware": await self.inventories.of(node_id)})

    async def _boot(self, request: web.Request) -> web.Response:
        def read(connection: Connection) -> dict[str, Any] | None:
            boot = boots.of_id(connection, request.match_info["id"])
            if boot is None:
                return None
            events = [asdict(event) for event in boots.events_of(connection, boot.id)]
            return {**_without_log(boot), "log": boot.log, "events": events}

        return _json(await self._found(read))

    async def _boots(self, request: web.Request) -> web.Response:
        hours = request.query.get("hours", "24")
        if not (hours.isascii() and hours.isdigit() and 0 < int(hours[:6]) <= _MOST_HOURS):
            raise web.HTTPBadRequest(text=f"hours is a number from 1 to {_MOST_HOURS}\n")
        stretch = int(hours[:6]) * 3600 // _STRETCHES
        first = (clock.now() // stretch - _STRETCHES + 1) * stretch
        rows = await self.database.run(lambda connection: boots_since(connection, first, stretch))
        return _json({"first": first, "stretch": stretch, "count": _STRETCHES, "boots": rows})

    async def _task(self, request: web.Request) -> web.Response:
        task_id, now = request.match_info["id"], clock.now()

        def read(connection: Connection) -> dict[str, Any] | None:
            task = tasks.of_id(connection, task_id, now)
            if task is None:
                return None
            news = output.news_of(connection, [Position(task_id)], now) if task.state == GIVEN else []
            if news:
                stdout, stderr = (said.decode(errors="replace") for said in (news[0].stdout, news[0].stderr))
                task = replace(task, result=replace(task.result, stdout=stdout, stderr=stderr))
            return _shown(task)

        return _json(await self._found(read))

    async def _hardware(self, request: web.Request) -> web.Response:
        return _json(await self.inventories.search(request.query.get("q", "")))

    async def _found(self, read: Callable[[Connection], T | None]) -> T:
        found = await self.database.run(read)
        if found is None:
            raise web.HTTPNotFound(text="there is none of this id\n")
        return found


def _json(value: Any) -> web.Response:
    response = web.json_response(value, headers=_NO_STORE)
    response.enable_compression()
    return response


def _without_log(boot: Boot) -> dict[str, Any]:
    return {**asdict(boot), "log": "", "has_log": bool(boot.log)}


def _shown(task: Task) -> dict[str, Any]:
    value = asdict(task)
    for name in ("stdout", "stderr"):
        value["result"][name] = value["result"][name][-_OUTPUT:]
    return value
