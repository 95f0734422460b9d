"""Where nodes fetch the layer that their boot script named.

    GET /layer/HEX?token=TOKEN      the layer with the sha256 HEX, for who has the token of the boot that it is for

A token opens the layer of its boot alone, and only until the node has left its initrd: in the booted system every
user can read the kernel's arguments. What is secret goes over HTTPS, to the first address that asks.

Layers are kept in memory, never on a disk. A server that was started anew renders them again, of what nodes.yml
says then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from aiohttp import hdrs, web
from pydantic import BaseModel
from sqlalchemy import Connection

from imagebuilder.errors import ImagebuilderError
from imagebuilder.serve.content import BYTES
from imagebuilder.serve.described import WORDS, Content, Description, described
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.nodelayer.layer import NodeLayer
from imagebuilder.serve.scripts import Start
from imagebuilder.serve.state import boots, nodes
from imagebuilder.serve.state.boots import BOOTED, Boot
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.nodes import Node

_KEPT = 2_000
"""So many layers stay in memory: some KB each, 1 MB at most."""

T = TypeVar("T")


class Token(BaseModel):
    """That of the node's boot script."""

    token: str = ""


class NodeLayers:
    """The layers of all nodes. `choose` renders one anew, `https` is the port at which we speak it, or 0."""

    def __init__(
        self, choose: Callable[[Identity], Start], https: int, database: Database, tell: Callable[[str], None]
    ) -> None:
        self._choose = choose
        self._https = https
        self._database = database
        self._tell = tell
        self._layers: OrderedDict[str, NodeLayer] = OrderedDict()
        self._takers: OrderedDict[str, str] = OrderedDict()

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [web.get("/layer/{sha256:[0-9a-f]{64}}", self._layer, allow_head=False)]

    def offer(self, layer: NodeLayer, server: str) -> str:
        """Keep a layer for the node that is told of it; returns where `server` (HOST:PORT) has it, a path or a URL."""
        _keep(self._layers, layer.sha256, layer)
        path = f"/layer/{layer.sha256}"
        return f"https://{server.rpartition(':')[0]}:{self._https}{path}" if layer.is_secret else path

    @described(
        Description("The layer of a node's own", {200: Content(BYTES), **dict.fromkeys((403, 404), WORDS)}, query=Token)
    )
    async def _layer(self, request: web.Request) -> web.Response:
        sha256, token = request.match_info["sha256"], request.query.get("token", "")

        def find(connection: Connection) -> tuple[Boot, Node] | None:
            boot = boots.of_token(connection, token)
            return (boot, nodes.of_id(connection, boot.node_id)) if boot else None

        found = await self._database.run(find)
        if found is None or found[0].choice.layer != sha256:
            raise web.HTTPNotFound(text="no boot with this token was given such a layer\n")
        boot, node = found
        if boot.phase in BOOTED:
            raise web.HTTPForbidden(text="this boot is over, and with it what its token opens\n")
        layer = self._layers.get(sha256) or self._anew(node, sha256)
        if layer.is_secret:
            self._refuse_others(request, boot, node)
        headers = {hdrs.CACHE_CONTROL: "no-store", hdrs.CONTENT_TYPE: BYTES}
        return web.Response(body=layer.data, headers=headers)

    def _anew(self, node: Node, sha256: str) -> NodeLayer:
        """The layer of a boot that began before this server did. Raises HTTPNotFound when it would be another one."""
        try:
            layer = self._choose(node.identity).layer
        except ImagebuilderError as error:
            self._tell(f"{node.identity}: {error.message}")
            layer = None
        if layer is None or layer.sha256 != sha256:
            raise web.HTTPNotFound(text="this layer is another one by now: the node has to ask for its script again\n")
        _keep(self._layers, sha256, layer)
        return layer

    def _refuse_others(self, request: web.Request, boot: Boot, node: Node) -> None:
        """Who heard the token, which boot loaders get in the clear, has to be faster than the node, and is noticed."""
        if not request.secure:
            raise web.HTTPForbidden(text="this layer has secrets, which go over HTTPS only\n")
        address = request.remote or ""
        taker = self._takers.get(boot.id, address)
        if taker != address:
            self._tell(f"{node.identity}: {address} asks for the secrets that {taker} has fetched")
            raise web.HTTPForbidden(text="another address has fetched this layer\n")
        _keep(self._takers, boot.id, address)


def _keep(kept: OrderedDict[str, T], key: str, value: T) -> None:
    """The last ones that were used stay."""
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)
