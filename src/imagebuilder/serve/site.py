"""The page: files that a browser runs as they are, and what it may do with them.

    GET /               the page
    GET /page/NAME      its parts

They tell nothing by themselves, so they are for everybody; what they show, they ask for as the operator.
"""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

from imagebuilder.serve.content import Content, send

_FOLDER = Path(__file__).parent / "page"
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def page_routes() -> list[web.RouteDef]:
    """What is answered here."""
    return [web.get("/", _index), web.get("/page/{name:[a-z-]+[.](?:js|css|svg)}", _part)]


async def _index(request: web.Request) -> web.StreamResponse:
    return await _sent(request, "index.html")


async def _part(request: web.Request) -> web.StreamResponse:
    return await _sent(request, request.match_info["name"])


async def _sent(request: web.Request, name: str) -> web.StreamResponse:
    path = _FOLDER / name
    return await send(request, Content(path, _TYPES[path.suffix], headers=_HEADERS))
