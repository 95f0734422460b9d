"""Where boot loaders ask what to start.

    /boot.ipxe                          iPXE: has the node say who it is, and chain to
    /boot.ipxe?mac=&uuid=&serial=       the node's own script; any one of them is enough
    /autoexec.ipxe                      the same as /boot.ipxe, for an iPXE that looks beside itself
    /grub/grub.cfg                      GRUB, in the same two steps
    /grub/grub.cfg-01-MAC               where GRUB looks by itself, too

A loader shows the node's console what a script prints, but not the text of an error: so whatever is wrong is
said by a script.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host import clock
from imagebuilder.serve.described import WORDS, Description, described
from imagebuilder.serve.identity import MAC_PATTERN, UUID_PATTERN, Identity, normal_mac, normal_server
from imagebuilder.serve.metrics import METRICS
from imagebuilder.serve.nodelayer.layer import shown_to_text
from imagebuilder.serve.nodelayer.shelf import NodeLayers
from imagebuilder.serve.scripts import Loader, Start, asking_script, boot_script, refusing_script
from imagebuilder.serve.state import boots, layers, nodes
from imagebuilder.serve.state.boots import Choice
from imagebuilder.serve.state.database import Database

_ANSWERS = {200: WORDS, 400: WORDS}
_UNCACHED = {"Cache-Control": "no-store"}


class Asking(BaseModel):
    """Who a node is, as far as it says so."""

    mac: Annotated[str, Field(pattern=f"^(?:{MAC_PATTERN})?$")] = ""
    uuid: Annotated[str, Field(pattern=f"^(?:{UUID_PATTERN})?$")] = ""
    serial: str = ""
    vendor: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class BootScripts:
    """`choose` says what a node starts; `address` is how nodes reach us (HOST:PORT), "" for what they asked for.

    `seen` gets the id and the address of each node that has asked.
    """

    choose: Callable[[Identity], Start]
    address: str
    layers: NodeLayers
    database: Database
    tell: Callable[[str], None]
    seen: Callable[[str, str], None]

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get("/boot.ipxe", self._ipxe),
            web.get("/autoexec.ipxe", self._ipxe),
            web.get("/grub/grub.cfg", self._ask_grub),
            web.get("/grub/grub.cfg-{mac}", self._grub),
        ]

    @described(Description("A boot script for iPXE: for a node, or to have it say who it is", _ANSWERS, query=Asking))
    async def _ipxe(self, request: web.Request) -> web.Response:
        try:
            identity = Identity.from_query(request.query)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        if identity == Identity():
            return _script(asking_script(Loader.IPXE, self._server(request)))
        return await self._own(request, Loader.IPXE, identity)

    @described(Description("A configuration for GRUB, to have it say who it is", _ANSWERS))
    async def _ask_grub(self, request: web.Request) -> web.Response:
        return _script(asking_script(Loader.GRUB, self._server(request)))

    @described(Description("A node's configuration for GRUB", {**_ANSWERS, 404: WORDS}))
    async def _grub(self, request: web.Request) -> web.Response:
        try:
            identity = Identity(mac=normal_mac(request.match_info["mac"]))
        except ValueError:
            # GRUB tries its network card's address, then its IP address by and by, then grub.cfg.
            raise web.HTTPNotFound(text="GRUB is served by MAC address\n") from None
        return await self._own(request, Loader.GRUB, identity)

    async def _own(self, request: web.Request, loader: Loader, identity: Identity) -> web.Response:
        server = self._server(request)
        try:
            start = self.choose(identity)
        except ImagebuilderError as error:
            await self._remember(request, identity, None)
            self.tell(f"{identity} ({request.remote}): nothing to boot: {error.message}")
            return _script(refusing_script(loader, server, error.message))
        if token := await self._remember(request, identity, start):
            request.app[METRICS].booted()
            words = [f"nb.report=/report/{token}", f"nb.token={token}"]
            if start.layer:
                words.append(f"nb.layer={self.layers.offer(start.layer, server)}")
            start = replace(start, arguments=" ".join((*words, start.arguments)))
        elif start.layer and request.method == "GET":
            return _script(
                refusing_script(loader, server, "the server cannot remember this boot, and so gives no layer")
            )
        self.tell(f"{identity} ({request.remote}): {start.name} {start.manifest.digest}")
        return _script(boot_script(loader, start, server, identity))

    async def _remember(self, request: web.Request, identity: Identity, start: Start | None) -> str:
        """The token of the boot that begins with this request; "" when none does."""
        if request.method != "GET":
            return ""
        now = clock.now()

        def remember(connection: Connection) -> tuple[str, str]:
            node = nodes.see(connection, identity, request.remote or "", now)
            if start is None:
                return node.id, ""
            layer = start.layer
            if layer:
                layers.remember(connection, node.id, layers.Given(layer.sha256, shown_to_text(layer.files)))
            choice = Choice(start.profile, start.name, start.manifest.digest, layer.sha256 if layer else "")
            return node.id, boots.begin(connection, node.id, choice, now)

        try:
            node_id, token = await self.database.run(remember)
        except ImagebuilderError as error:
            # Nodes boot all the same; they only do not report.
            self.tell(error.message)
            return ""
        self.seen(node_id, request.remote or "")
        return token

    def _server(self, request: web.Request) -> str:
        try:
            return self.address or normal_server(request.host)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None


def _script(text: str) -> web.Response:
    return web.Response(text=text, headers=_UNCACHED)
