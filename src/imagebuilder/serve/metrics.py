"""What Prometheus asks for: GET /metrics, for everybody, with numbers and no names.

What happens is counted as it happens, since the server started; what is, is asked of the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from imagebuilder.host import clock
from imagebuilder.serve.described import WORDS, Description, described
from imagebuilder.serve.state.counts import count
from imagebuilder.serve.state.database import Database

_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
_MOST_CODES = 50
_OTHER = "other"


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        name = "imagebuilder_"
        about = "Requests, to the end of the answer"
        labels = ["route", "status"]
        self._requests = Histogram(f"{name}request_seconds", about, labels, registry=registry, buckets=_BUCKETS)
        self._sent = Counter(f"{name}sent_bytes", "Bytes of files that were sent", registry=registry)
        self._transfers = Gauge(f"{name}transfers", "Files that are being sent", registry=registry)
        self._boots = Counter(f"{name}boots", "Boot scripts that start something", registry=registry)
        self._failures = Counter(f"{name}boot_failures", "Boots that nodes say failed", ["code"], registry=registry)
        self._codes: set[str] = set()
        self._nodes = Gauge(f"{name}nodes", "Nodes by how far their last boot came", ["state"], registry=registry)
        self._tasks = Gauge(f"{name}tasks", "Tasks that are remembered", ["state"], registry=registry)

    @contextmanager
    def transfer(self) -> Iterator[None]:
        """A file is sent as long as the block lasts."""
        with self._transfers.track_inprogress():
            yield

    def sent(self, size: int) -> None:
        """So many bytes have left."""
        self._sent.inc(size)

    def booted(self) -> None:
        """A node was told what to start."""
        self._boots.inc()

    def failed(self, code: str) -> None:
        """A node says that it could not boot. Nodes can say anything: not every word becomes a row."""
        if len(self._codes) < _MOST_CODES:
            self._codes.add(code)
        self._failures.labels(code if code in self._codes else _OTHER).inc()

    def middleware(self) -> Middleware:
        """What times all requests."""

        @web.middleware
        async def timed(request: web.Request, handler: Handler) -> web.StreamResponse:
            began, status = clock.monotonic(), 0  # of who hung up
            try:
                response = await handler(request)
                status = response.status
            except web.HTTPException as refused:
                status = refused.status
                raise
            finally:
                resource = request.match_info.route.resource
                route = resource.canonical if resource else "none"
                self._requests.labels(route, status).observe(clock.monotonic() - began)
            return response

        return timed

    def routes(self, database: Database) -> list[web.RouteDef]:
        """What is answered here."""

        @described(Description("Numbers for Prometheus", {200: WORDS}, tag="server"))
        async def metrics(_: web.Request) -> web.Response:
            counts = await database.run(count)
            _set(self._nodes, counts.nodes)
            _set(self._tasks, counts.tasks)
            headers = {hdrs.CONTENT_TYPE: CONTENT_TYPE_LATEST, hdrs.CACHE_CONTROL: "no-store"}
            return web.Response(body=generate_latest(self._registry), headers=headers)

        return [web.get("/metrics", metrics)]


METRICS = web.AppKey("metrics", Metrics)
"""Where an application has them."""


def _set(gauge: Gauge, values: Mapping[str, int]) -> None:
    for state, number in values.items():
        gauge.labels(state).set(number)
