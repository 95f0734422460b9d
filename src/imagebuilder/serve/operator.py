"""The operator: whoever has the token may see what nodes do, and tell them what to do.

    Authorization: Bearer TOKEN      programs
    Cookie: imagebuilder=...         the page: POST /api/1/login {"token": TOKEN} gives it, POST /api/1/logout takes it

The cookie says until when it holds, and is sealed with the token: the server keeps no list, a restart ends no
session, another token ends all. Requests with it must not come from another site's page.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import hmac
import ipaddress
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict, Field

from imagebuilder.errors import UserError
from imagebuilder.host import clock, files
from imagebuilder.host.tokens import new_token
from imagebuilder.serve.body import read_body
from imagebuilder.serve.described import JSON, PROBLEM, Content, Description, described

LOGIN, LOGOUT = "/api/1/login", "/api/1/logout"
COOKIE = "imagebuilder"
GUARDED = "guarded"
"""The attribute of a handler that is for the operator only."""
_SESSION_SECONDS = 7 * 24 * 3600
_LOGIN_BYTES = 1000
_TOKEN = re.compile("[!-~]{16,500}")
_OPEN_TO_ALL = 0o007


class Login(BaseModel):
    """The operator's token."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(max_length=500)]


@dataclass(frozen=True, slots=True)
class Operator:
    """Knows the operator by a token; without one that is given, by one that nobody knows.

    With `tls`, nobody is the operator who speaks over a network in clear.
    """

    token: str = dataclasses.field(default_factory=new_token, repr=False)
    tls: bool = False

    def guarded(self, routes: Iterable[web.RouteDef]) -> list[web.RouteDef]:
        """The same routes, for the operator only: all others get 401."""
        return [web.RouteDef(route.method, route.path, self._only(route.handler), route.kwargs) for route in routes]

    def routes(self) -> list[web.RouteDef]:
        """Where a browser gets and loses its cookie."""
        return [web.post(LOGIN, self._login), web.post(LOGOUT, self._logout)]

    def asks(self, request: web.Request) -> bool:
        """Whether this is the operator."""
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer":
            return self._is_token(token.strip())
        return self._holds(request.cookies.get(COOKIE, "")) and _is_own_page(request)

    def _only(self, handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            self._refuse_in_clear(request)
            if not self.asks(request):
                raise web.HTTPUnauthorized(
                    text="the operator's token is needed\n", headers={hdrs.WWW_AUTHENTICATE: "Bearer"}
                )
            return await handler(request)

        guarded.__dict__[GUARDED] = True
        return guarded

    @described(
        Description(
            "Get a cookie for the operator's token",
            {204: None, **dict.fromkeys((400, 401, 403, 408, 413, 415), PROBLEM)},
            bodies=(Content(JSON, Login),),
            tag="operator",
        )
    )
    async def _login(self, request: web.Request) -> web.Response:
        self._refuse_in_clear(request)
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(text='what is wanted is JSON: {"token": "..."}\n')
        try:
            token = Login.model_validate(json.loads(await read_body(request, _LOGIN_BYTES))).token
        except (ValueError, RecursionError):
            raise web.HTTPBadRequest(text='what is wanted is {"token": "..."}\n') from None
        if not (self._is_token(token) and _is_own_page(request)):
            raise web.HTTPUnauthorized(
                text="this is not the operator's token\n", headers={"WWW-Authenticate": "Bearer"}
            )
        response = web.Response(status=204)
        cookie = self._sealed(clock.now() + _SESSION_SECONDS)
        response.set_cookie(
            COOKIE, cookie, max_age=_SESSION_SECONDS, httponly=True, samesite="Strict", secure=request.secure
        )
        return response

    @described(Description("Lose the cookie", {204: None}, tag="operator"))
    async def _logout(self, request: web.Request) -> web.Response:
        response = web.Response(status=204)
        response.del_cookie(COOKIE, httponly=True, samesite="Strict", secure=request.secure)
        return response

    def _refuse_in_clear(self, request: web.Request) -> None:
        if self.tls and not request.secure and not is_here(request.remote or ""):
            raise web.HTTPForbidden(text="the operator asks over HTTPS, which this server speaks\n")

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def _sealed(self, until: int) -> str:
        return f"{until}.{hmac.new(self.token.encode(), f'cookie {until}'.encode(), hashlib.sha256).hexdigest()}"

    def _holds(self, cookie: str) -> bool:
        until = cookie.partition(".")[0]
        if not re.fullmatch("[0-9]{1,12}", until) or int(until) <= clock.now():
            return False
        return hmac.compare_digest(cookie.encode("utf-8", "replace"), self._sealed(int(until)).encode())


def _is_own_page(request: web.Request) -> bool:
    """Whether no page of another site, port or name made a browser ask this; browsers say so, programs do not."""
    origin = request.headers.get(hdrs.ORIGIN)
    return origin is None or origin.partition("://")[2] == request.host


def is_here(address: str) -> bool:
    """Whether an address is this machine's own, for itself alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def token_in(path: Path) -> tuple[str, bool]:
    """The operator's token, and whether it is new: what a file says, which is made where there is none.

    Raises UserError for a file that holds no token, or that everybody may read.
    """
    is_new = not path.exists()
    if is_new:
        files.publish_new(f"{new_token()}\n", path, mode=0o600)
    try:
        token, mode = path.read_text(encoding="utf-8").strip(), path.stat().st_mode
    except UnicodeDecodeError:
        token, mode = "", 0
    if not _TOKEN.fullmatch(token):
        raise UserError(f"{path} holds no token", hint="remove it, and a new one is made; or 16 letters and more")
    if mode & _OPEN_TO_ALL:
        raise UserError(f"the operator's token in {path} can be read by everybody", hint=f"chmod 600 {path}")
    return token, is_new
