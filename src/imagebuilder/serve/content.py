"""A file as an answer: from the page cache to the network card (sendfile), whole or in part.

Blobs never change under their name, so caches may keep them for ever; all else is asked for again.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from aiohttp import hdrs, web

from imagebuilder.serve.metrics import METRICS
from imagebuilder.serve.ranges import Unsatisfiable, byte_range
from imagebuilder.serve.transfers import TRANSFERS
from imagebuilder.store.layout import Blob, Layout

BYTES = "application/octet-stream"
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class Content:
    """A file to send. `sha256` is that of its content, "" when nobody knows; then size and time are its ETag."""

    path: Path
    media_type: str = BYTES
    sha256: str = ""
    immutable: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def blob_content(layout: Layout, blob: Blob, media_type: str, *, immutable: bool) -> Content:
    """A blob of the store; `immutable` when it was asked for by its digest."""
    return Content(layout.path(blob.sha256), media_type, blob.sha256, immutable)


async def send(request: web.Request, content: Content) -> web.StreamResponse:
    """Answer GET or HEAD with a file, or the part of it that is wanted. Raises HTTPNotFound."""
    try:
        file = await asyncio.to_thread(content.path.open, "rb")
    except (FileNotFoundError, IsADirectoryError):
        raise web.HTTPNotFound(text="no such file\n") from None
    with file:
        return await _send(request, content, file)


async def _send(request: web.Request, content: Content, file: IO[bytes]) -> web.StreamResponse:
    status = os.fstat(file.fileno())
    etag = f'"{content.sha256 or f"{status.st_mtime_ns:x}-{status.st_size:x}"}"'
    response = web.StreamResponse(
        headers={
            **content.headers,
            hdrs.ETAG: etag,
            hdrs.CACHE_CONTROL: FOR_EVER if content.immutable else ASK_AGAIN,
            hdrs.ACCEPT_RANGES: "bytes",
        }
    )
    if _has_it(request, etag):
        response.set_status(304)
        await response.prepare(request)
        return response
    response.headers[hdrs.CONTENT_TYPE] = content.media_type
    try:
        part = byte_range(_wanted_range(request, etag), status.st_size)
    except Unsatisfiable:
        response.set_status(416)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes */{status.st_size}"
        response.content_length = 0
        await response.prepare(request)
        return response
    first, last = part or (0, status.st_size - 1)
    if part:
        response.set_status(206)
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{last}/{status.st_size}"
    response.content_length = last - first + 1
    await response.prepare(request)
    if request.method != "HEAD" and last >= first:
        try:
            with request.app[TRANSFERS].running(request, content.sha256, first, last - first + 1):
                await _transfer(request, file, first, last - first + 1)
        except (ConnectionError, TimeoutError):
            response.force_close()  # the node hung up, or takes nothing any more: it will be back
    return response


def _has_it(request: web.Request, etag: str) -> bool:
    known = request.headers.get(hdrs.IF_NONE_MATCH, "")
    return known.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in known.split(",")]


def _wanted_range(request: web.Request, etag: str) -> str | None:
    """The Range header, unless it was meant for another version of the file."""
    return request.headers.get(hdrs.RANGE) if request.headers.get(hdrs.IF_RANGE, etag) == etag else None


async def _transfer(request: web.Request, file: IO[bytes], offset: int, count: int) -> None:
    if request.transport is None:
        raise ConnectionResetError("the node hung up")
    metrics = request.app[METRICS]
    with metrics.transfer():
        try:
            await asyncio.get_running_loop().sendfile(request.transport, file, offset, count)
        finally:
            # sendfile moves the file's position, however far it came.
            metrics.sent(max(0, file.tell() - offset))
