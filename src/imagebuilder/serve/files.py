"""Files by digest and by the names of 2015.

/blobs/sha256/HEX            a blob of the store; of a manifest also its signature, HEX.minisig
/common/NAME, /NAME          the file of that name of the newest images, SHA256SUMS included; or, when the
                             server was given an artifact folder, that folder's file
/ipxe.efi and its like       iPXE for firmware that boots over HTTP
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from imagebuilder.serve.catalog import SUMS, Shelf
from imagebuilder.serve.content import ASK_AGAIN, BYTES, Content, blob_content, send
from imagebuilder.store.layout import Blob

TEXT = "text/plain"
_DIGEST = "{sha256:[0-9a-f]{64}}"
_IPXE: Mapping[str, tuple[str, ...]] = {
    "undionly.kpxe": ("monorail-undionly.kpxe",),
    "ipxe.pxe": ("monorail.ipxe",),
    "snponly.efi": ("monorail-efi64-snponly.efi",),
    "ipxe.efi": (),
    "ipxe-arm64.efi": (),
    "snponly-arm64.efi": (),
}
"""Programs by their file name, with the names that they had in 2015."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where files come from: the store, an artifact folder in its place for names, a folder with iPXE's programs."""

    shelf: Shelf
    builds: Path | None
    ipxe: Path

    def routes(self) -> list[web.RouteDef]:
        """What is answered here; the names of 2015 have to come last."""
        return [
            web.get(f"/blobs/sha256/{_DIGEST}", self._blob),
            web.get(f"/blobs/sha256/{_DIGEST}.minisig", self._signature),
            web.get("/{name}", self._named),
            web.get("/common/{name}", self._named),
        ]

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        sha256 = request.match_info["sha256"]
        media_type = self.shelf.catalog.media_types.get(sha256, BYTES)
        return await send(request, blob_content(self.shelf.layout, Blob(sha256, 0), media_type, immutable=True))

    async def _signature(self, request: web.Request) -> web.StreamResponse:
        signature = self.shelf.catalog.signature(request.match_info["sha256"])
        if signature is None:
            raise web.HTTPNotFound(text="nobody signed this\n")
        return await send(request, blob_content(self.shelf.layout, signature, TEXT, immutable=False))

    async def _named(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        for program, old_names in _IPXE.items():
            if name in (program, *old_names):
                return await send(request, Content(self.ipxe / program))
        if self.builds:
            return await send(request, Content(artifact(self.builds, name)))
        catalog = self.shelf.catalog
        if name == SUMS:
            return web.Response(text=catalog.sums(), headers={"Cache-Control": ASK_AGAIN})
        if name not in catalog.files:
            raise web.HTTPNotFound(text="no such file\n")
        return await send(request, blob_content(self.shelf.layout, catalog.files[name], BYTES, immutable=False))


def artifact(folder: Path, name: str) -> Path:
    """A finished file of an artifact folder. Raises HTTPNotFound for all else."""
    path = folder / name
    # Artifacts lie in the folder itself: no way leads out of it or to what is not finished.
    if re.search(r"^[.]|[/\x00]", name) or not path.is_file():
        raise web.HTTPNotFound(text="no such file\n")
    return path
