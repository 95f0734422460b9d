"""Who is the operator: a token in a file, a cookie for the page, nobody else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from imagebuilder.errors import UserError
from imagebuilder.serve.operator import Operator, token_in
from imagebuilder.store.layout import Layout
from serving import Client, boot_server, serving_app

TOKEN = "0123456789abcdef01234567"
JSON = {"Content_Type": "application/json"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Client]:
    """A server with one guarded route."""

    async def secret(_: web.Request) -> web.Response:
        return web.Response(text="secret")

    operator = Operator(TOKEN)
    with serving_app(
        [*operator.routes(), *operator.guarded([web.get("/secret", secret), web.post("/secret", secret)])]
    ) as server:
        yield server


def login(server: Client, token: str = TOKEN, **headers: str) -> str:
    """The cookie that the token gives."""
    answer = server.ask("POST", "/api/1/login", json.dumps({"token": token}).encode(), **JSON, **headers)
    assert answer.status == 204
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    return cookie.partition(";")[0]


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"],
)
def test_who_does_not_have_the_token_is_told_so(guarded: Client, given: str) -> None:
    answer = guarded.get("/secret", Authorization=given)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_program_shows_the_token(guarded: Client) -> None:
    assert guarded.get("/secret", Authorization=f"Bearer {TOKEN}").body == b"secret"
    assert guarded.ask("HEAD", "/secret", Authorization=f"bearer {TOKEN}").status == 200


def test_page_logs_in_and_out(guarded: Client) -> None:
    cookie = login(guarded)
    assert guarded.get("/secret", Cookie=cookie).body == b"secret"
    gone = guarded.ask("POST", "/api/1/logout", b"", Cookie=cookie)
    assert (gone.status, 'imagebuilder=""' in gone.headers["Set-Cookie"]) == (204, True)


def test_page_of_another_site_cannot_use_the_cookie(guarded: Client) -> None:
    cookie, own = login(guarded), f"127.0.0.1:{guarded.port}"
    assert guarded.ask("POST", "/secret", b"", Cookie=cookie, Origin=f"http://{own}").status == 200
    for origin in ("http://elsewhere", "http://127.0.0.1:1", "null"):
        assert guarded.ask("POST", "/secret", b"", Cookie=cookie, Origin=origin).status == 401, origin


def test_cookie_cannot_be_made_up_or_prolonged(guarded: Client) -> None:
    until, _, seal = login(guarded).partition("=")[2].partition(".")
    assert guarded.get("/secret", Cookie=f"imagebuilder={until}.{seal}").status == 200
    for made_up in (f"{int(until) + 1}.{seal}", f"{until}.{seal[:-1]}", f"1.{seal}", until, "", ".", "x.y"):
        assert guarded.get("/secret", Cookie=f"imagebuilder={made_up}").status == 401, made_up


def test_cookie_ends_with_its_time_and_with_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    operator = Operator(TOKEN)
    cookie = operator._sealed(1000)
    monkeypatch.setattr("imagebuilder.host.clock.now", lambda: 999)
    assert operator._holds(cookie)
    assert not Operator(f"{TOKEN}1")._holds(cookie)
    monkeypatch.setattr("imagebuilder.host.clock.now", lambda: 1000)
    assert not operator._holds(cookie)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"[]", 400), (b'{"token": 1}', 400), (b'{"token": "x"}', 401), (b"[" * 900, 400), (b" " * 2000, 413)],
)
def test_login_without_the_token_gives_nothing(guarded: Client, body: bytes, status: int) -> None:
    answer = guarded.ask("POST", "/api/1/login", body, **JSON)
    assert (answer.status, answer.headers["Set-Cookie"]) == (status, None)
    assert guarded.ask("POST", "/api/1/login", json.dumps({"token": TOKEN}).encode()).status == 415


def test_token_is_made_once_and_said_once(small_store: Layout) -> None:
    file = small_store.root.parent / "cache/serve/operator-token"
    with boot_server(small_store.root) as server:
        first = server.operator
        assert f"kept in {file}" in server.said[0]
        assert file.stat().st_mode & 0o777 == 0o600
    with boot_server(small_store.root) as server:
        assert server.said[0] == f"the operator's token is in {file}"
        assert server.operator == first


def test_token_may_come_from_a_file_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(f"{TOKEN}\n")
    (tmp_path / "mine").chmod(0o440)
    assert token_in(tmp_path / "mine") == (TOKEN, False)


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        ("", 0o600, "holds no token"),
        ("short", 0o600, "holds no token"),
        (f"{TOKEN}\n{TOKEN}", 0o600, "no token"),
        (TOKEN, 0o604, "by everybody"),
    ],
)
def test_file_that_is_no_secret_is_refused(tmp_path: Path, text: str, mode: int, problem: str) -> None:
    (tmp_path / "token").write_text(text)
    (tmp_path / "token").chmod(mode)
    with pytest.raises(UserError, match=problem):
        token_in(tmp_path / "token")


@pytest.mark.parametrize(
    ("tls", "remote", "status"), [(True, "10.0.0.9", 403), (True, "127.0.0.1", 200), (False, "10.0.0.9", 200)]
)
def test_token_in_clear_from_elsewhere_is_not_taken_where_there_is_tls(tls: bool, remote: str, status: int) -> None:
    async def secret(_: web.Request) -> web.Response:
        return web.Response()

    (route,) = Operator(TOKEN, tls).guarded([web.get("/", secret)])
    request = make_mocked_request("GET", "/", {"Authorization": f"Bearer {TOKEN}"}).clone(remote=remote)

    async def ask() -> int:
        try:
            response: web.StreamResponse = await route.handler(request)
        except web.HTTPException as refused:
            return refused.status
        return response.status

    assert asyncio.run(ask()) == status
