"""The table of operations, served: requests are checked against their models, answers written by their types.

What goes wrong is said in JSON, {"error": ..., "hint": ...}: 400 for what is malformed, 401 for who is not the
operator, 404 for what is not there, 409 for what does not go, 415 and 413 for bodies that are not taken.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from pydantic import TypeAdapter, ValidationError

from imagebuilder.errors import ForbiddenError, ImagebuilderError, UnknownError, UserError
from imagebuilder.serve.api import images, nodes, tasks
from imagebuilder.serve.api.operation import PREFIX, Asked, Input, Office, Operation
from imagebuilder.serve.body import read_body
from imagebuilder.serve.described import JSON, PROBLEM, Content, Description, described

OPERATIONS = (*nodes.OPERATIONS, *tasks.OPERATIONS, *images.OPERATIONS)
BODY_BYTES = 1 << 20
_THREADS = 4
_KEPT_HEADERS = (hdrs.ALLOW, hdrs.WWW_AUTHENTICATE)


@dataclass(frozen=True, slots=True)
class Api:
    """All operations as routes. They wait for locks and disks in threads of their own, never in those of nodes."""

    office: Office
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "operator"))

    def routes(self) -> list[web.RouteDef]:
        """What is answered here, to be guarded."""
        return [web.route(it.method, PREFIX + it.path, self._handler(it)) for it in OPERATIONS]

    def close(self) -> None:
        """Wait for what is under way."""
        self._threads.shutdown()

    def _handler(self, operation: Operation) -> Handler:
        answer = TypeAdapter(operation.answer)

        @described(_description(operation))
        async def handle(request: web.Request) -> web.StreamResponse:
            query = _checked(operation.query, dict(request.query)) if operation.query else None
            body = _checked(operation.body, await _json(request)) if operation.body else None
            asked = Asked(dict(request.match_info), query, body)
            try:
                loop = asyncio.get_running_loop()
                office = replace(self.office, desk=replace(self.office.desk, who=_who(request)))
                value = await loop.run_in_executor(self._threads, operation.work, office, asked)
            except UserError as error:
                raise _refusal(error) from None
            except OSError as error:
                raise ImagebuilderError.of(error) from None
            headers = {hdrs.CACHE_CONTROL: "no-store"}
            return web.Response(
                body=answer.dump_json(value), status=operation.status, content_type=JSON, headers=headers
            )

        return handle


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is refused below the prefix is refused in JSON, whoever refuses it."""
    try:
        return await handler(request)
    except web.HTTPException as refused:
        if not request.path.startswith(f"{PREFIX}/") or refused.status < 400 or refused.content_type == JSON:
            raise
        headers = {name: refused.headers[name] for name in _KEPT_HEADERS if name in refused.headers}
        value = {"error": (refused.text or refused.reason).strip(), "hint": None}
        return web.Response(body=json.dumps(value).encode(), status=refused.status, content_type=JSON, headers=headers)


def _description(operation: Operation) -> Description:
    refusals = [400, 401, 403, 404, 409, 503] + ([408, 413, 415] if operation.body else [])
    return Description(
        operation.summary,
        {operation.status: Content(JSON, operation.answer), **dict.fromkeys(refusals, PROBLEM)},
        operation.query,
        (Content(JSON, operation.body),) if operation.body else (),
        tag=operation.path.split("/")[1],
    )


def _who(request: web.Request) -> str:
    """The operator, as he calls himself and where he asks from."""
    name = "".join(letter for letter in request.headers.get(hdrs.FROM, "") if letter.isprintable())
    return f"{name[:64] or 'operator'} ({request.remote})"


def _refusal(error: UserError) -> web.HTTPException:
    kinds: dict[type, type[web.HTTPException]] = {UnknownError: web.HTTPNotFound, ForbiddenError: web.HTTPForbidden}
    kind = kinds.get(type(error), web.HTTPConflict)
    return kind(text=json.dumps({"error": error.message, "hint": error.hint}), content_type=JSON)


async def _json(request: web.Request) -> Any:
    if request.content_type != JSON:
        raise web.HTTPUnsupportedMediaType(text=f"what is wanted is {JSON}")
    try:
        return json.loads(await read_body(request, BODY_BYTES))
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(text=f"the body is no JSON: {error}") from None


def _checked(model: type[Input], value: Mapping[str, Any]) -> Input:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise web.HTTPBadRequest(text="; ".join(_sentences(error))) from None


def _sentences(error: ValidationError) -> Iterator[str]:
    for details in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(map(str, details["loc"]))
        yield f"`{where}`: {details['msg']}" if where else details["msg"]
