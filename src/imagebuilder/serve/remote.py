"""The operator's desk of a server that is elsewhere: its API over HTTP or HTTPS."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import urllib3
from pydantic import TypeAdapter, ValidationError
from urllib3.exceptions import HTTPError, SSLError

from imagebuilder.errors import ForbiddenError, ImagebuilderError, UnknownError, UnreachableError, UserError
from imagebuilder.serve.api.nodes import Machines
from imagebuilder.serve.api.operation import PREFIX
from imagebuilder.serve.api.tasks import AT_ONCE, NewsList, OrderedTasks, TaskIds
from imagebuilder.serve.described import Problem
from imagebuilder.serve.desk import Assigned, Inventory, MachineDetails, Ordered
from imagebuilder.serve.listing import Machine
from imagebuilder.serve.state.output import News, Position
from imagebuilder.serve.state.tasks import Order

_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_MOST = 200_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is (http[s]://HOST:PORT), the operator's token and name, whom to trust (None: as usual)."""

    url: str
    token: str
    who: str
    ca_file: Path | None = None


class RemoteDesk:
    """Raises UserError for what the server refuses, UnreachableError when it does not answer."""

    def __init__(self, server: Server) -> None:
        """Nobody is asked yet. Raises UserError for what is no address, and for a file without certificates."""
        split = urlsplit(server.url)
        if split.scheme not in ("http", "https") or not split.hostname or split.query or split.fragment:
            raise UserError(f"`{server.url}` is no address of a server", hint="it is like `https://boot.lan:8443`")
        self._server = server
        self._pool = urllib3.PoolManager(ssl_context=_trust(server.ca_file), retries=False, timeout=_TIMEOUT)

    def machines(self) -> list[Machine]:
        return self._ask("GET", "/nodes", Machines).nodes

    def machine(self, node: str, vendor: str = "", model: str = "") -> MachineDetails:
        return self._ask("GET", f"{_of(node)}?{urlencode({'vendor': vendor, 'model': model})}", MachineDetails)

    def assign(self, node: str, profile: str) -> Assigned:
        return self._ask("PUT", f"{_of(node)}/profile", Assigned, {"profile": profile})

    def inventory(self, node: str) -> Inventory:
        return self._ask("GET", f"{_of(node)}/inventory", Inventory)

    def renew_inventory(self, node: str) -> Ordered:
        return self._ask("POST", f"{_of(node)}/inventory", Ordered)

    def order(self, node: str, order: Order) -> Ordered:
        return self._ask("POST", f"{_of(node)}/tasks", Ordered, _command(order))

    def order_all(self, profile: str, order: Order) -> list[Ordered]:
        return self._ask("POST", f"/profiles/{quote(profile, safe='')}/tasks", OrderedTasks, _command(order)).tasks

    def news(self, positions: Sequence[Position]) -> list[News]:
        found = []
        for start in range(0, len(positions), AT_ONCE):
            body = {"tasks": [asdict(position) for position in positions[start : start + AT_ONCE]]}
            found += self._ask("POST", "/news", NewsList, body).news
        return found

    def withdraw(self, task_ids: Sequence[str]) -> None:
        for start in range(0, len(task_ids), AT_ONCE):
            self._ask("POST", "/withdrawals", TaskIds, {"tasks": list(task_ids[start : start + AT_ONCE])})

    def close(self) -> None:
        self._pool.clear()

    def _ask(self, method: str, path: str, answer: type[T], body: Mapping[str, Any] | None = None) -> T:
        headers = {"Authorization": f"Bearer {self._server.token}", "From": self._server.who}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = json.dumps(body).encode() if body is not None else None
        url = f"{self._server.url.rstrip('/')}{PREFIX}{path}"
        try:
            said = self._pool.request(method, url, body=data, headers=headers, preload_content=False)
            text = said.read(_MOST)
        except HTTPError as error:
            raise self._unreachable(error) from error
        if said.status >= 300:
            raise self._refusal(said.status, text)
        try:
            return TypeAdapter(answer).validate_json(text)
        except ValidationError:
            raise self._stranger(said.status) from None

    def _refusal(self, status: int, text: bytes) -> ImagebuilderError:
        try:
            problem = TypeAdapter(Problem).validate_json(text)
        except ValidationError:
            return self._stranger(status)
        if status == 401:
            return UserError(
                f"{self._server.url} does not take this token: {problem.error}",
                hint="`imagebuilder serve` says at its start which file has the right one",
            )
        if status in (502, 503, 504):
            return UnreachableError(f"{self._server.url}: {problem.error}", hint=problem.hint)
        kinds: dict[int, type[ImagebuilderError]] = {403: ForbiddenError, 404: UnknownError}
        kind = kinds.get(status, UserError if status < 500 else ImagebuilderError)
        return kind(problem.error, hint=problem.hint)

    def _stranger(self, status: int) -> ImagebuilderError:
        # What stands in front of a server that restarts answers in its own words.
        kind = UnreachableError if status in (502, 503, 504) else ImagebuilderError
        return kind(
            f"{self._server.url} answers {status} and is no `imagebuilder serve` of this version",
            hint="is the address right?",
        )

    def _unreachable(self, error: HTTPError) -> ImagebuilderError:
        if isinstance(error, SSLError):
            return UserError(
                f"{self._server.url} is not trusted: {error}",
                hint="`--ca-file FILE` names the authority that signed it",
            )
        return UnreachableError(
            f"{self._server.url} does not answer: {error}", hint="does `imagebuilder serve` run there?"
        )


def _of(node: str) -> str:
    return f"/nodes/{quote(node, safe='')}"


def _command(order: Order) -> dict[str, Any]:
    sure = {"destroys": order.destroys, "sure": True} if order.destroys else {}
    return {"command": order.command, "timeout": order.timeout, "retries": order.retries, **sure}


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except OSError as error:
        raise UserError(f"{ca_file} holds no certificates: {error}", hint="`--ca-file` wants a PEM file") from None
