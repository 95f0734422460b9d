"""What nodes report of their boots.

    POST /report/TOKEN   application/x-ndjson: the record so far, an object a phase; text/plain: the end of the log
                         of a node that cannot boot

TOKEN came with the boot script (nb.report=), so it is known which boot this is of. docs/reference/kernel-arguments.md
has the form of a record.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from sqlalchemy import Connection

from imagebuilder.host import clock
from imagebuilder.serve.body import read_body
from imagebuilder.serve.described import WORDS, Content, Description, described
from imagebuilder.serve.metrics import METRICS, Metrics
from imagebuilder.serve.state import boots, nodes
from imagebuilder.serve.state.boots import Event
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.nodes import Node

RECORD = "application/x-ndjson"
LOG = "text/plain"
_RECORD_BYTES = 1 << 20
_LOG_BYTES = 65536
_MOST_EVENTS = 1000
_LARGEST = (1 << 53) - 1


@dataclass(frozen=True, slots=True)
class Reports:
    """The route of reports; `tell` hears of nodes that cannot boot, `touch` of each node that reports."""

    database: Database
    tell: Callable[[str], None]
    touch: Callable[[str], None]

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [web.post("/report/{token:[0-9a-f]{24}}", self._report)]

    @described(
        Description(
            "What a node reports of its boot: its record so far, or the end of its log",
            {204: None, **dict.fromkeys((400, 404, 408, 413, 415, 503), WORDS)},
            bodies=(Content(RECORD), Content(LOG)),
        )
    )
    async def _report(self, request: web.Request) -> web.Response:
        token = request.match_info["token"]
        if request.content_type == RECORD:
            taken = await self._take_record(token, await read_body(request, _RECORD_BYTES), request.app[METRICS])
        elif request.content_type == LOG:
            taken = await self._take_log(token, await read_body(request, _LOG_BYTES))
        else:
            raise web.HTTPUnsupportedMediaType(text=f"a report is {RECORD} or {LOG}\n")
        if not taken:
            raise web.HTTPNotFound(text="no boot has this token\n")
        return web.Response(status=204)

    async def _take_record(self, token: str, body: bytes, metrics: Metrics) -> bool:
        try:
            events = parse_record(body)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"this is no record: {error}\n") from None
        now = clock.now()

        def take(connection: Connection) -> tuple[Node, int] | None:
            boot = boots.of_token(connection, token)
            if boot is None:
                return None
            return nodes.of_id(connection, boot.node_id), boots.report(connection, boot, events, now)

        taken = await self.database.run(take)
        if taken:
            node, new = taken
            self.touch(node.id)
            for event in events[len(events) - new :]:
                if event.code:
                    metrics.failed(event.code)
                    self.tell(f"{node.identity}: {event.code}: {event.detail}")
        return taken is not None

    async def _take_log(self, token: str, body: bytes) -> bool:
        # PostgreSQL has no place for a NUL.
        log = body.decode("utf-8", "replace").replace("\0", "")

        def take(connection: Connection) -> bool:
            boot = boots.of_token(connection, token)
            if boot:
                boots.keep_log(connection, boot, log)
            return boot is not None

        return await self.database.run(take)


def parse_record(body: bytes) -> list[Event]:
    """The phases of a record. Raises ValueError for what is none."""
    lines = body.decode().splitlines()
    if len(lines) > _MOST_EVENTS:
        raise ValueError(f"more than {_MOST_EVENTS} lines")
    try:
        return [_event(json.loads(line)) for line in lines]
    except RecursionError:
        raise ValueError("a line is nested too deeply") from None


def _event(value: Any) -> Event:
    if not isinstance(value, dict):
        raise ValueError("a line is no object")
    phase, code, detail = (_words(value.get(key, "")) for key in ("phase", "code", "detail"))
    ms, size, retries = (_count(value.get(key, 0)) for key in ("ms", "bytes", "retries"))
    if not phase:
        raise ValueError("a line has no phase")
    return Event(phase[:32], ms, size, retries, code[:32], detail[:1024])


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("what should be text is none")
    return "".join(letter for letter in value if letter.isprintable())


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= _LARGEST:
        raise ValueError("what should be a number is none")
    return value
