"""Bodies of requests, of a size and in a time that we allow."""

from __future__ import annotations

import asyncio

from aiohttp import web

_SECONDS = 30


async def read_body(request: web.Request, most: int) -> bytes:
    """The body. Raises HTTPRequestEntityTooLarge for more than `most` bytes, HTTPRequestTimeout for a slow one."""
    if (request.content_length or 0) > most:
        raise web.HTTPRequestEntityTooLarge(most, request.content_length or 0)
    parts, size = [], 0
    try:
        async with asyncio.timeout(_SECONDS):
            async for part in request.content.iter_any():
                size += len(part)
                if size > most:
                    raise web.HTTPRequestEntityTooLarge(most, size)
                parts.append(part)
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="the body took too long\n") from None
    return b"".join(parts)
