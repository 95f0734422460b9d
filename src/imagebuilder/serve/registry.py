"""The store as a read-only OCI registry, for nodes and for registries' clients.

    /v2/                                       200
    /v2/_catalog, /v2/NAME/tags/list           names, a page at a time (?n=, ?last=)
    /v2/NAME/manifests/TAG|sha256:HEX          a manifest; with .minisig behind it its signature under NAME
    /v2/NAME/blobs/sha256:HEX                  a blob
    /v2/NAME/referrers/sha256:HEX              what is attached to a manifest (?artifactType=)

Source: github.com/opencontainers/distribution-spec, spec.md (pull, content discovery).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from urllib.parse import quote

from aiohttp import web

from imagebuilder.serve.catalog import Shelf
from imagebuilder.serve.content import ASK_AGAIN, BYTES, blob_content, send
from imagebuilder.serve.files import TEXT
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import MANIFEST_TYPE, descriptor
from imagebuilder.store.signing import SUFFIX

_NAME = "{name:[A-Za-z0-9._+-]+}"
_DIGEST = "sha256:{sha256:[0-9a-f]{64}}"
_INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_LARGEST_PAGE = 1000
_DIGEST_HEADER = "Docker-Content-Digest"


@dataclass(frozen=True, slots=True)
class Registry:
    """The routes below /v2/."""

    shelf: Shelf

    def routes(self) -> list[web.RouteDef]:
        """What is answered here."""
        return [
            web.get("/v2/", self._version),
            web.get("/v2/_catalog", self._images),
            web.get(f"/v2/{_NAME}/tags/list", self._tags),
            web.get(f"/v2/{_NAME}/manifests/{{reference}}", self._manifest),
            web.get(f"/v2/{_NAME}/blobs/{_DIGEST}", self._blob),
            web.get(f"/v2/{_NAME}/referrers/{_DIGEST}", self._referrers),
        ]

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})

    async def _images(self, request: web.Request) -> web.Response:
        return _page(request, {}, "repositories", self.shelf.catalog.image_names())

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        tags = self.shelf.catalog.tags(name)
        if not tags:
            raise refusal(404, "NAME_UNKNOWN", f"the store has no image {name}")
        return _page(request, {"name": name}, "tags", tags)

    async def _manifest(self, request: web.Request) -> web.StreamResponse:
        name, reference = request.match_info["name"], request.match_info["reference"]
        catalog, is_signature = self.shelf.catalog, reference.endswith(SUFFIX)
        wanted = reference.removesuffix(SUFFIX)
        algorithm, colon, sha256 = wanted.partition(":")
        if not colon:
            manifest = catalog.names.get(f"{name}:{wanted}")
            sha256 = manifest.sha256 if manifest else ""
        if sha256 not in catalog.media_types or (colon and algorithm != "sha256") or not catalog.tags(name):
            raise refusal(404, "MANIFEST_UNKNOWN", f"the store has no {name}{'@' if colon else ':'}{wanted}")
        if is_signature:
            signature = catalog.signature(sha256, name)
            if signature is None:
                raise refusal(404, "MANIFEST_UNKNOWN", f"nobody signed {name}{'@' if colon else ':'}{wanted}")
            return await send(request, blob_content(self.shelf.layout, signature, TEXT, immutable=False))
        media_type = catalog.media_types[sha256]
        content = blob_content(self.shelf.layout, Blob(sha256, 0), media_type, immutable=bool(colon))
        return await send(request, replace(content, headers={_DIGEST_HEADER: f"sha256:{sha256}"}))

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        blob = Blob(request.match_info["sha256"], 0)
        content = blob_content(self.shelf.layout, blob, BYTES, immutable=True)
        try:
            return await send(request, replace(content, headers={_DIGEST_HEADER: blob.digest}))
        except web.HTTPNotFound:
            raise refusal(404, "BLOB_UNKNOWN", f"the store has no {blob.digest}") from None

    async def _referrers(self, request: web.Request) -> web.Response:
        wanted = request.query.get("artifactType", "")
        found = [
            {**descriptor(MANIFEST_TYPE, referrer.manifest), "artifactType": referrer.artifact_type}
            for referrer in self.shelf.catalog.referrers.get(request.match_info["sha256"], ())
            if wanted in ("", referrer.artifact_type)
        ]
        value = {"schemaVersion": 2, "mediaType": _INDEX_TYPE, "manifests": found}
        headers = {"Content-Type": _INDEX_TYPE, **({"OCI-Filters-Applied": "artifactType"} if wanted else {})}
        return web.Response(body=json.dumps(value).encode(), headers=headers)


def refusal(status: int, code: str, message: str) -> web.HTTPException:
    """An error as registries write it, to be raised."""
    body = json.dumps({"errors": [{"code": code, "message": message}]})
    kind = {404: web.HTTPNotFound, 400: web.HTTPBadRequest}[status]
    return kind(text=body, content_type="application/json")


def _page(request: web.Request, value: dict[str, object], key: str, entries: list[str]) -> web.Response:
    """One page of a list, and where the next one is."""
    count, last = request.query.get("n", str(_LARGEST_PAGE)), request.query.get("last", "")
    if not (count.isascii() and count.isdigit()):
        raise refusal(400, "PAGINATION_NUMBER_INVALID", "n is no number")
    rest = [entry for entry in entries if entry > last]
    page = rest[: min(int(count[:9]), _LARGEST_PAGE)]
    headers = {"Cache-Control": ASK_AGAIN}
    if page and len(page) < len(rest):
        headers["Link"] = f'<{request.path}?n={count}&last={quote(page[-1])}>; rel="next"'
    return web.json_response({**value, key: page}, headers=headers)
