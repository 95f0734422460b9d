"""What the store has, for the page: images with their layers and packages, what differs between two, where bytes are.

    GET /api/1/page/images                  names, and the images that they stand for or stood for
    GET /api/1/page/packages?image=         the packages of each layer
    GET /api/1/page/difference?old=&new=    what `imagebuilder diff --json` says
    GET /api/1/page/size?image=             the page that `imagebuilder size --html` writes

`image`, `old` and `new` are digests of manifests. Programs of their own compare and weigh, one at a time: they take
seconds of a processor that nodes must not wait for.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from imagebuilder.errors import CommandError, ImagebuilderError
from imagebuilder.host.command import Command, run
from imagebuilder.sbom.packages import PackageList
from imagebuilder.serve.catalog import Catalog, Shelf
from imagebuilder.store.manifest import Manifest
from imagebuilder.store.referrers import PACKAGES

_SECONDS = 300
_KEEP = 16
"""So many answers of other programs are kept."""
_FILES = 300
"""So many files of a layer are named that differ."""
_FRAMED = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"}


@dataclass(slots=True)
class _Answers:
    """What other programs said, by their arguments; one runs at a time."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    kept: OrderedDict[tuple[str, ...], str] = field(default_factory=OrderedDict)


class Images:
    """The routes."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._answers = _Answers()

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get("/api/1/page/images", self._images),
            web.get("/api/1/page/packages", self._packages),
            web.get("/api/1/page/difference", self._difference),
            web.get("/api/1/page/size", self._size),
        ]

    async def _images(self, _: web.Request) -> web.Response:
        catalog = self._shelf.catalog
        names = [
            {
                "name": name,
                "digest": blob.digest,
                "signed": catalog.signature(blob.sha256, name.partition(":")[0]) is not None,
            }
            for name, blob in sorted(catalog.names.items())
        ]
        images = {f"sha256:{sha256}": _described(manifest) for sha256, manifest in catalog.images.items()}
        return web.json_response({"names": names, "images": images, "problems": catalog.problems})

    async def _packages(self, request: web.Request) -> web.Response:
        catalog = self._shelf.catalog
        sha256 = self._asked(request, "image", catalog).removeprefix("sha256:")
        layers = await asyncio.to_thread(self._listed, catalog, sha256)
        return web.json_response({"layers": layers})

    def _listed(self, catalog: Catalog, sha256: str) -> list[dict[str, Any]]:
        found = [referrer for referrer in catalog.referrers.get(sha256, ()) if referrer.artifact_type == PACKAGES]
        lists = (
            [(file.title, PackageList.from_json(self._shelf.layout.read(file.blob.sha256))) for file in found[-1].files]
            if found
            else []
        )
        return [
            {
                "title": title,
                "packages": [(p.identity.name, p.identity.version, p.identity.architecture) for p in listed.packages],
            }
            for title, listed in lists
        ]

    async def _difference(self, request: web.Request) -> web.Response:
        catalog = self._shelf.catalog
        old, new = (self._asked(request, name, catalog) for name in ("old", "new"))
        value = json.loads(await self._said("diff", old, new, "--json"))
        for layer in value["layers"]:
            layer["more_files"] = max(0, len(layer["files"] or ()) - _FILES)
            layer["files"] = layer["files"] and layer["files"][:_FILES]
        return web.json_response(value)

    async def _size(self, request: web.Request) -> web.Response:
        image = self._asked(request, "image", self._shelf.catalog)
        text = await self._said("size", image, "--html", "/dev/stdout")
        return web.Response(text=text, content_type="text/html", headers=_FRAMED)

    def _asked(self, request: web.Request, name: str, catalog: Catalog) -> str:
        """The digest of an image of the store, and nothing else: what is no such digest would be taken for a file."""
        digest = request.query.get(name, "")
        if digest.removeprefix("sha256:") not in catalog.images or not digest.startswith("sha256:"):
            raise web.HTTPNotFound(text="the store has no such image\n")
        return digest

    async def _said(self, *arguments: str) -> str:
        """What this program prints when it is given a verb and its arguments."""
        async with self._answers.lock:
            kept = self._answers.kept
            if arguments not in kept:
                store = ("--store", str(self._shelf.layout.root))
                command = Command((sys.executable, "-m", "imagebuilder", *arguments, *store), timeout=_SECONDS)
                try:
                    kept[arguments] = (await asyncio.to_thread(run, command)).stdout
                except CommandError as error:
                    raise ImagebuilderError(error.detail.strip() or error.message) from None
            kept.move_to_end(arguments)
            while len(kept) > _KEEP:
                kept.popitem(last=False)
            return kept[arguments]


def _described(manifest: Manifest) -> dict[str, Any]:
    return {
        "created": manifest.created,
        "size": sum(layer.blob.size for layer in manifest.layers),
        "layers": [
            {"kind": layer.kind, "title": layer.title, "digest": layer.blob.digest, "size": layer.blob.size}
            for layer in manifest.layers
        ],
    }
