"""What all nodes do, now and as it changes.

    GET /api/1/status              all nodes and the last tasks, as JSON, and the id of the event that this follows
    GET /api/1/events?after=ID     what has happened since, as server-sent events; Last-Event-ID goes before `after`

    nodes      rows of nodes that have changed
    progress   [id, bytes, bytes a second] of nodes to which a file is under way
    tasks      tasks that have changed, how many wait and run
    problem    what is wrong with nodes.yml, "" if nothing is
    images     the store has changed
    reset      too much has happened: ask for the status again

Who takes part of a boot calls `touch`. What was touched is read again and told at most four times a second, all of it
together, and only while somebody looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import hdrs, web
from sqlalchemy import Connection

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host import clock
from imagebuilder.serve.catalog import Catalog, Shelf
from imagebuilder.serve.described import JSON, PROBLEM, Content, Description, described
from imagebuilder.serve.explanations import explanations
from imagebuilder.serve.feed import Feed
from imagebuilder.serve.overview import UNDER_WAY, Progress, node_row, progress_of, state_of
from imagebuilder.serve.roster import Roster
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.overview import Glance, TaskGlance, glances, open_tasks, recent_tasks
from imagebuilder.serve.state.tasks import COMMAND, INVENTORY
from imagebuilder.serve.transfers import Transfers

TICK = 0.25
_SECOND = 4
"""So many ticks."""
_PAUSE = 5
"""Seconds after which the state is read again that could not be read."""
_WARM = 30
"""Seconds for which things are told on after somebody has looked."""
_KEEP_ALIVE = 15
_MOST_WATCHERS = 200
_TASKS = {COMMAND: 200, INVENTORY: 100}
"""So many of each kind are told."""
_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the state comes from."""

    database: Database
    shelf: Shelf
    roster: Roster
    transfers: Transfers


@dataclass(frozen=True, slots=True)
class _Moment:
    """What is read in one transaction; `tasks` is None when they were not asked for."""

    nodes: list[Glance]
    tasks: list[TaskGlance] | None = None
    open_tasks: dict[str, int] | None = None


class Live:
    """The two routes, and what goes on behind them."""

    def __init__(self, sources: Sources, tell: Callable[[str], None]) -> None:
        self.feed = Feed()
        self._sources = sources
        self._tell = tell
        self._nodes = sources.roster.nodes
        self._catalog = sources.shelf.catalog
        self._problem = ""
        self._touched: set[str] = set()
        self._under_way: dict[str, Glance] = {}
        self._rates: dict[str, tuple[float, int]] = {}
        self._tasks: dict[str, TaskGlance] = {}
        self._open_tasks: dict[str, int] = {}
        self._watchers = 0
        self._warm_until = 0.0
        self._wanted = asyncio.Event()
        self._ticks = 0

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [web.get("/api/1/status", self._status), web.get("/api/1/events", self._events, allow_head=False)]

    def touch(self, node_id: str) -> None:
        """Something of a node has changed."""
        if self._wanted.is_set():
            self._touched.add(node_id)

    async def background(self, _: web.Application) -> AsyncIterator[None]:
        """Tell what happens for as long as the application runs."""
        task = asyncio.create_task(self._run())
        task.add_done_callback(self._ended)
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """It should not end by itself: that would leave pages with what they have, and nobody would know."""
        if not task.cancelled():
            self._tell(f"the page gets no news any more, by a defect of ours: {task.exception()!r}")
            self.feed.close()

    async def stop(self, _: web.Application) -> None:
        """Let go of browsers, which would stay for ever."""
        self.feed.close()

    @described(
        Description(
            "All nodes and the last tasks",
            {200: Content(JSON, dict[str, Any]), **dict.fromkeys((401, 403, 503), PROBLEM)},
            tag="server",
        )
    )
    async def _status(self, _: web.Request) -> web.Response:
        self._look()
        before = self.feed.last
        moment = await self._sources.database.run(lambda connection: _read(connection, None, with_tasks=True))
        self._follow(moment.nodes)
        value = {
            "event": before,
            "now": clock.now(),
            "problem": self._sources.roster.problem,
            "nodes": self._rows(moment.nodes),
            "tasks": [asdict(task) for task in moment.tasks or ()],
            "open_tasks": moment.open_tasks,
            "explanations": {code: asdict(explanation) for code, explanation in explanations().items()},
        }
        response = web.json_response(value, headers={hdrs.CACHE_CONTROL: "no-store"})
        response.enable_compression()
        return response

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if self._watchers >= _MOST_WATCHERS:
            raise web.HTTPServiceUnavailable(text="too many are looking already\n", headers={"Retry-After": "60"})
        self._look()
        place = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        response = web.StreamResponse(headers=_STREAM)
        self._watchers += 1
        try:
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            while not self.feed.is_closed:
                news, place = self.feed.since(place), self.feed.last
                # This waits for a browser that reads slowly; what it misses meanwhile stays in the feed.
                await response.write(news or b": \n\n")
                if place == self.feed.last:
                    await self.feed.wait(_KEEP_ALIVE)
        except (ConnectionError, TimeoutError):
            pass  # it has gone, and will be back where it was
        finally:
            self._watchers -= 1
            self._warm_until = clock.monotonic() + _WARM
        return response

    def _look(self) -> None:
        """Somebody wants to know: from now on things are told. What changed in nodes.yml before is no news."""
        if not self._wanted.is_set():
            self._nodes = self._sources.roster.nodes
        self._warm_until = clock.monotonic() + _WARM
        self._wanted.set()

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            if not self._watchers and clock.monotonic() > self._warm_until:
                # Nobody looks. What happens from now on is in no log.
                self._wanted.clear()
                self._touched.clear()
                self._under_way.clear()
                self.feed.restart()
                continue
            await asyncio.sleep(TICK)
            try:
                await self._tick()
            except ImagebuilderError as error:
                self._tell(error.message)
                await asyncio.sleep(_PAUSE)
                self.feed.restart()

    async def _tick(self) -> None:
        self._ticks += 1
        each_second = self._ticks % _SECOND == 0
        if each_second:
            self._look_at_files()
        touched, self._touched = self._touched, set()
        if touched or each_second:
            moment = await self._sources.database.run(lambda connection: _read(connection, touched, each_second))
            self._follow(moment.nodes)
            if moment.nodes:
                self.feed.publish("nodes", {"now": clock.now(), "nodes": self._rows(moment.nodes)})
            self._tell_tasks(moment)
        if each_second and (progress := self._progress()):
            self.feed.publish("progress", progress)

    def _look_at_files(self) -> None:
        """nodes.yml and the store: both are read anew when they have changed."""
        roster, catalog = self._sources.roster, self._sources.shelf.catalog
        if roster.nodes is not self._nodes:
            self._nodes = roster.nodes
            self.feed.restart()
        if roster.problem != self._problem:
            self._problem = roster.problem
            self.feed.publish("problem", self._problem)
        if catalog is not self._catalog:
            self._catalog = catalog
            self.feed.publish("images", {})

    def _rows(self, nodes: list[Glance]) -> list[dict[str, Any]]:
        given, catalog, sharing = self._sources.roster.nodes, self._sources.shelf.catalog, self._by_address()
        return [node_row(node, given, self._progress_of(node, catalog, sharing)) for node in nodes]

    def _progress_of(self, node: Glance, catalog: Catalog, sharing: dict[str, list[Glance]]) -> Progress:
        alone = sharing.get(node.address) == [node]
        return progress_of(node.boot, catalog, self._sources.transfers.arrived(node.address) if alone else {})

    def _follow(self, nodes: list[Glance]) -> None:
        """Remember which nodes bytes may be for."""
        for node in nodes:
            if node.boot and state_of(node.boot) in UNDER_WAY:
                self._under_way[node.id] = node
            elif self._under_way.pop(node.id, None):
                self._rates.pop(node.id, None)

    def _by_address(self) -> dict[str, list[Glance]]:
        """The nodes under way. Where several share an address, nobody knows whose bytes are whose."""
        found: dict[str, list[Glance]] = {}
        for node in self._under_way.values():
            found.setdefault(node.address, []).append(node)
        return found

    def _progress(self) -> list[tuple[str, int, int]]:
        """Of each node to which something is under way what it has, and how fast it comes."""
        sharing, told, now = self._by_address(), [], clock.monotonic()
        for address in self._sources.transfers.busy():
            nodes = sharing.get(address, [])
            if len(nodes) == 1:
                count = self._progress_of(nodes[0], self._catalog, sharing).bytes
                then, before = self._rates.get(nodes[0].id, (now - 1, count))
                self._rates[nodes[0].id] = (now, count)
                told.append((nodes[0].id, count, max(0, round((count - before) / max(now - then, TICK)))))
        return told

    def _tell_tasks(self, moment: _Moment) -> None:
        if moment.tasks is None or moment.open_tasks is None:
            return
        changed = [asdict(task) for task in moment.tasks if self._tasks.get(task.id) != task]
        if changed or moment.open_tasks != self._open_tasks:
            self._tasks = {task.id: task for task in moment.tasks}
            self._open_tasks = moment.open_tasks
            self.feed.publish("tasks", {"tasks": changed, "open_tasks": moment.open_tasks})


def _read(connection: Connection, node_ids: set[str] | None, with_tasks: bool) -> _Moment:
    nodes = [] if node_ids is not None and not node_ids else glances(connection, node_ids)
    if not with_tasks:
        return _Moment(nodes)
    tasks = [task for kind, count in _TASKS.items() for task in recent_tasks(connection, count, kind=kind)]
    return _Moment(nodes, tasks, open_tasks(connection))
