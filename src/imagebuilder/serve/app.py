"""The boot server as one application: its routes, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from imagebuilder.errors import ImagebuilderError
from imagebuilder.serve.api.operation import Office
from imagebuilder.serve.api.routes import Api, problems
from imagebuilder.serve.bootscripts import BootScripts
from imagebuilder.serve.catalog import Shelf
from imagebuilder.serve.details import Details
from imagebuilder.serve.files import Files
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.images import Images
from imagebuilder.serve.inventories import Inventories
from imagebuilder.serve.live import Live, Sources
from imagebuilder.serve.local import LocalDesk
from imagebuilder.serve.metrics import METRICS, Metrics
from imagebuilder.serve.nodelayer.shelf import NodeLayers
from imagebuilder.serve.nodes import Nodes, refuse_secrets, start_for
from imagebuilder.serve.openapi import openapi_route
from imagebuilder.serve.operator import Operator
from imagebuilder.serve.registry import Registry
from imagebuilder.serve.reports import Reports
from imagebuilder.serve.roster import Roster
from imagebuilder.serve.scripts import Start
from imagebuilder.serve.site import page_routes
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.tasks import Tasks
from imagebuilder.serve.transfers import TRANSFERS, Transfers
from imagebuilder.store.layout import Layout

BODY_BYTES = 10_000_000
"""The largest body that is taken, as in 2015."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What is served: the store, and what nodes get of it: a nodes.yml, or what it would say.

    `state` is a file or a postgresql:// URL, `builds` an artifact folder to take the names of 2015 from, `ipxe` the
    folder of iPXE's programs, `address` how nodes reach us (HOST:PORT; "" for the name by which they asked),
    `operator` who may see and change it. With `known_only`, a machine that no entry fits gets nothing.
    `https` the port at which we speak HTTPS as well (0 for none).
    """

    layout: Layout
    nodes: Path | Nodes
    state: str
    builds: Path | None = None
    ipxe: Path = Path("/usr/lib/ipxe")
    address: str = ""
    operator: Operator = field(default_factory=Operator)
    known_only: bool = False
    https: int = 0


def application(settings: Settings, tell: Tell) -> web.Application:
    """All of it; `tell` gets a sentence for whatever the operator should know. Raises UserError."""
    shelf = Shelf(settings.layout, tell)

    def given(nodes: Nodes) -> Nodes:
        if not settings.https:
            refuse_secrets(nodes)
        return replace(nodes, default=None) if settings.known_only else nodes

    roster = Roster(settings.nodes, tell, given)

    def nodes() -> Nodes:
        return roster.nodes

    def choose(identity: Identity) -> Start:
        return start_for(shelf.catalog, roster.nodes, identity)

    database = Database(settings.state)
    desk = LocalDesk(database, nodes, lambda: shelf.catalog, roster.path, tell=tell)
    api = Api(Office(desk, settings.layout))

    async def close(_: web.Application) -> None:
        api.close()
        database.close()

    metrics = Metrics()
    app = web.Application(
        middlewares=[metrics.middleware(), problems, _errors(tell)],
        client_max_size=BODY_BYTES,
    )
    app[METRICS] = metrics
    transfers = app[TRANSFERS] = Transfers()
    live = Live(Sources(database, shelf, roster, transfers), tell)

    def seen(node_id: str, address: str) -> None:
        transfers.forget(address)
        live.touch(node_id)

    app.cleanup_ctx.append(live.background)
    app.on_shutdown.append(live.stop)
    app.on_cleanup.append(close)
    layers = NodeLayers(choose, settings.https, database, tell)
    operators = (api, live, Details(database, Inventories(database)), Images(shelf))
    table = [
        *BootScripts(choose, settings.address, layers, database, tell, seen).routes(),
        *layers.routes(),
        *Reports(database, tell, live.touch).routes(),
        *Tasks(database, tell, live.touch, nodes).routes(),
        *settings.operator.routes(),
        *settings.operator.guarded(route for part in operators for route in part.routes()),
        *metrics.routes(database),
        *page_routes(),
    ]
    app.add_routes([*table, openapi_route(table)])
    app.add_routes(Registry(shelf).routes())
    app.add_routes(Files(shelf, settings.builds, settings.ipxe).routes())
    return app


def _errors(tell: Tell) -> Middleware:
    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        """What failed on our side is the operator's to know, and worth asking again for a node."""
        try:
            return await handler(request)
        except ImagebuilderError as error:
            tell(f"{request.method} {request.rel_url}: {error.message}")
            raise web.HTTPServiceUnavailable(text=f"{error.message}\n") from None

    return errors
