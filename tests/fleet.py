"""Simulated nodes, many in one process, from power-on to their tasks: each says and fetches what a real one would.

They are as patient as the real programs, too. iPXE starts the node again when it gets no script, kernel or initrd; the
initrd fetches all layers side by side, goes on where a transfer broke off, and pauses longer each time; its record
follows every phase, as long as somebody takes it; the agent asks and delivers for as long as it takes.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from imagebuilder.serve.identity import Identity
from imagebuilder.serve.state import boots, nodes, tasks
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.tasks import DONE, GIVEN, QUEUED, Order
from imagebuilder.store.manifest import BASE, OVERLAYS
from wire import File, Wire

RESTART = 30  # templates/ask.ipxe
STALL, BACKOFF, ROUNDS = 10, 30, 10  # fetch.sh
DELIVERY, LAST_DELIVERY = 5, 1  # record.sh
INTERVAL, LONGEST_DELAY, RETRIES = 5, 60, 3  # agent
_LOADER_SECONDS = 60
_LAYERS = {BASE, *OVERLAYS.values()}


class GaveUpError(Exception):
    """A real node would have failed, too."""


def mac_of(number: int) -> str:
    return f"52:54:{number.to_bytes(4).hex(':')}"


def order_commands(database: Database, count: int) -> None:
    """Ask for a command on each of the first `count` nodes, which need not have been seen yet."""

    def order(connection: Connection) -> None:
        for number in range(count):
            node = nodes.see(connection, Identity(mac=mac_of(number)), "", 1)
            tasks.queue(connection, node.id, Order("true"), 1)

    database.do(order)


@dataclass
class Fleet:
    """Nodes on one wire. With `hurry` all that they wait for is so many times shorter."""

    wire: Wire
    count: int
    hurry: float = 1
    everyone: asyncio.Event = field(default_factory=asyncio.Event)
    nodes: list[Node] = field(default_factory=list)

    async def boot(self) -> None:
        """Switch all nodes on; they ask for tasks until the last one has none any more."""
        self.nodes = [Node(self, number) for number in range(self.count)]
        runs = [asyncio.create_task(node.run()) for node in self.nodes]
        idle = [asyncio.create_task(node.idle.wait()) for node in self.nodes]
        await asyncio.wait(idle)
        self.everyone.set()
        await asyncio.wait(runs)

    def failures(self) -> list[str]:
        """Why nodes failed, and what ran twice."""
        failed = [node.failure for node in self.nodes if node.failure]
        return failed + [f"{node.mac} ran a task twice" for node in self.nodes if len(set(node.ran)) < len(node.ran)]

    def forgotten(self, database: Database) -> list[str]:
        """What the server had acknowledged and does not remember."""
        return database.do(lambda connection: [it for node in self.nodes for it in node.forgotten(connection)])

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.hurry)


@dataclass
class Node:
    """A machine. `ready` is how many seconds after power-on its agent was admitted; `failure` why it never was.

    `reported` is how many lines of its record the server has acknowledged, in its last boot; `ran` has the tasks that
    it ran, `delivered` those whose results were taken; `boots` is how many scripts it got, `retries` how often it asked
    for a file again.
    """

    fleet: Fleet
    number: int
    ready: float | None = None
    failure: str = ""
    reported: int = 0
    boots: int = 0
    retries: int = 0
    ran: list[str] = field(default_factory=list)
    delivered: list[str] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def mac(self) -> str:
        return mac_of(self.number)

    @property
    def address(self) -> str:
        return f"127.1.{self.number // 250}.{self.number % 250 + 1}"

    def forgotten(self, connection: Connection) -> Iterator[str]:
        """What a server's state lacks of what this node was told."""
        known = nodes.find(connection, Identity(mac=self.mac))
        if known is None:
            yield f"{self.mac} is not known"
            return
        all_boots = boots.boots_of(connection, known.id)
        if len(all_boots) < min(self.boots, boots.KEEP):
            yield f"{self.mac}: {len(all_boots)} boots of {self.boots}"
        if (phase := all_boots[0].phase) != boots.AGENT:
            yield f"{self.mac} is not ready, but in {phase}"
        events = boots.events_of(connection, all_boots[0].id)
        if len(events) < self.reported:
            yield f"{self.mac}: {len(events)} events of {self.reported}"
        remembered = tasks.listed(connection, 0, known.id)  # at no time: nothing expires by being looked at
        if not {*self.delivered} <= {task.id for task in remembered}:
            yield f"{self.mac}: a result is gone"
        for task in remembered:
            # What was given in the moment of a kill may not have arrived: then it is lost, and was not run.
            if task.state in (QUEUED, GIVEN) or (task.id in self.ran and task.state != DONE):
                yield f"{self.mac}: a task is {task.state}"

    async def run(self) -> None:
        """Until everyone is ready. Never raises."""
        began = time.monotonic()
        try:
            arguments = await self._load()
            await self._initrd(arguments)
            path = await self._admitted(arguments["nb.token"])
            self.ready = time.monotonic() - began
            while not self.fleet.everyone.is_set():
                await self._do_next(path)
                await self.fleet.pause(INTERVAL)
        except Exception as error:
            self.failure = f"{self.mac}: {error!r}"
        finally:
            self.idle.set()

    async def ask(self, request: str, seconds: float, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """One exchange. Raises OSError, and TimeoutError (which is one)."""
        async with asyncio.timeout(seconds), self.fleet.wire.asked(self.address, request, body, **headers) as incoming:
            return incoming.status, await incoming.body()

    async def download(self, path: str, file: File) -> int:
        """Go on with a file; returns the status. Raises OSError."""
        headers = {"Range": f"bytes={file.size}-"} if file.size else {}
        async with self.fleet.wire.asked(self.address, f"GET {path}", b"", **headers) as incoming:
            if incoming.status == (206 if file.size else 200):
                await incoming.pour(file, STALL)
            return incoming.status

    async def _load(self) -> dict[str, str]:
        """iPXE: the kernel's arguments, when kernel and initrd are here."""
        while True:
            try:
                _, script = await self.ask("GET /boot.ipxe", _LOADER_SECONDS)
                _, script = await self.ask(f"GET {self._own_script(script.decode())}", _LOADER_SECONDS)
                self.boots += 1
                files = re.findall(r"http://[^/]+(/blobs/sha256/\w+)", script.decode())
                for path in files:
                    file = File(self.fleet.wire.hashed)
                    if await self.download(path, file) != 200:
                        raise GaveUpError(f"there is no {path}")
                    self._check(file, path.rpartition("/")[2])
                words = [word.partition("=") for word in script.decode().split() if "=" in word]
                return {name: value for name, _, value in words}
            except OSError:
                await self.fleet.pause(RESTART)

    def _own_script(self, script: str) -> str:
        """Where iPXE is told to chain to."""
        (path,) = re.findall(r"^chain --autofree http://[^/]+(\S+)", script, re.MULTILINE)
        said = {"netX/mac": self.mac, "manufacturer:uristring": "Simulated", "product:uristring": "Node"}
        return re.sub(r"\$\{(.*?)\}", lambda match: said.get(match[1], ""), path)

    async def _initrd(self, arguments: dict[str, str]) -> None:
        record = _Record(self, arguments["nb.report"])
        for phase in ("kernel", "modules", "network"):
            record.add(phase)
        record.deliver()
        data = await self._fetched_whole(arguments["MANIFEST"])
        layers = [layer for layer in json.loads(data)["layers"] if layer["mediaType"] in _LAYERS]
        record.deliver("manifest", "memory")
        image = arguments["MANIFEST"].partition("/manifests/")[0]

        async def get(layer: dict[str, Any]) -> None:
            file = File(self.fleet.wire.hashed)
            await self._fetch(f"{image}/blobs/{layer['digest']}", file, layer["size"])
            record.deliver("fetch")
            self._check(file, layer["digest"].removeprefix("sha256:"))
            record.deliver("digest")

        await asyncio.gather(*map(get, layers))
        record.deliver("mount", "switch")
        await record.finish()

    async def _fetched_whole(self, path: str) -> bytes:
        data = b""

        async def get() -> bool:
            nonlocal data
            status, data = await self.ask(f"GET {path}", STALL)
            return status == 200

        await self._tried(get, lambda: 0)
        return data

    async def _fetch(self, path: str, file: File, size: int) -> None:
        async def get() -> bool:
            await self.download(path, file)
            return file.size == size

        await self._tried(get, lambda: file.size)

    async def _tried(self, get: Callable[[], Awaitable[bool]], here: Callable[[], int]) -> None:
        """As fetch.sh does it: at once again as long as bytes come, else after pauses that grow."""
        tries = 0
        while True:
            before = here()
            with suppress(OSError):
                if await get():
                    return
            self.retries += 1
            if here() > before:
                tries = 0
                continue
            tries += 1
            if tries == ROUNDS:
                raise GaveUpError("NB-FETCH")
            await self.fleet.pause(min(2**tries, BACKOFF) * (1 + random.random()) / 2)

    def _check(self, file: File, sha256: str) -> None:
        if file.hashed and file.sha256 != sha256:
            raise GaveUpError(f"NB-DIGEST: {file.size} bytes with sha256 {file.sha256}, not {sha256}")

    async def _admitted(self, token: str) -> str:
        """The agent's first question: where its tasks are."""
        request = f"GET /api/current/tasks/bootstrap.js?macAddress={self.mac}&token={token}"
        while True:
            with suppress(OSError):
                status, body = await self.ask(request, 60)
                if status == 200:
                    path: str = json.loads(body)["tasksPath"]
                    return path
            await self.fleet.pause(INTERVAL)

    async def _do_next(self, path: str) -> None:
        """Ask for a task, run it, and deliver its result, if there is one."""
        try:
            status, body = await self.ask(f"GET {path}", 60)
        except OSError:
            return
        if status == 204:
            self.idle.set()
        if status != 200:
            return
        series = json.loads(body)
        await self._get_program(series["tasks"][0]["downloadUrl"])
        self.ran.append(series["identifier"])
        result = json.dumps({**series, "tasks": [{**series["tasks"][0], "stdout": "{}", "error": None}]}).encode()
        delay = 0
        while True:
            with suppress(OSError):
                status, _ = await self.ask(f"POST {path}", 60, result, Content_Type="application/json")
                if status not in (502, 503, 504):
                    break
            delay = min(delay + INTERVAL, LONGEST_DELAY)
            await self.fleet.pause(delay)
        if status != 201:
            raise GaveUpError(f"its result was not taken: {status}")
        self.delivered.append(series["identifier"])

    async def _get_program(self, url: str) -> None:
        """As `curl --retry 3` does; seven seconds are for a server to come back, however much we hurry."""
        path = re.sub("^http://[^/]+", "", url)
        for number in range(RETRIES + 1):
            with suppress(OSError):
                if (await self.ask(f"GET {path}", 60))[0] == 200:
                    return
            await asyncio.sleep(2**number)
        raise GaveUpError(f"{url} cannot be had")


class _Record:
    """The flight recorder, record.sh: deliveries in the background, one at a time, each of all lines so far."""

    def __init__(self, node: Node, path: str) -> None:
        self._node, self._path = node, path
        self._lines: list[str] = []
        self._delivery: asyncio.Task[None] | None = None
        node.reported = 0

    def add(self, phase: str) -> None:
        line = {"node": self._node.mac, "phase": phase, "ms": len(self._lines), "bytes": 0, "retries": 0, "code": ""}
        self._lines.append(json.dumps({**line, "detail": f"the {phase} of a simulated node"}) + "\n")

    def deliver(self, *phases: str) -> None:
        for phase in phases:
            self.add(phase)
        if self._delivery is None or self._delivery.done():
            self._delivery = asyncio.create_task(self._post())

    async def finish(self) -> None:
        if self._delivery:
            await asyncio.wait([self._delivery], timeout=LAST_DELIVERY)
            self._delivery.cancel()

    async def _post(self) -> None:
        while self._node.reported < (count := len(self._lines)):
            body = "".join(self._lines).encode()
            try:
                status, _ = await self._node.ask(
                    f"POST {self._path}", DELIVERY, body, Content_Type="application/x-ndjson"
                )
            except OSError:
                return
            if status != 204:
                return
            self._node.reported = count
