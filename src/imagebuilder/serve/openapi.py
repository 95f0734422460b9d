"""GET /openapi.json: all routes that say what they are (described.py), as an OpenAPI document.

It is made of the table of routes that is served, so there is nothing in it that is not, and of the models that check
requests and write answers. What nodes' boot loaders and registries' clients fetch by digest or by name is not in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from aiohttp import web
from pydantic import BaseModel, TypeAdapter

from imagebuilder import __version__
from imagebuilder.serve.described import JSON, Content, Description, described
from imagebuilder.serve.operator import COOKIE, GUARDED

PATH = "/openapi.json"
_VERSION = "3.1.0"
_REFERENCE = "#/components/schemas/{model}"
_PART = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")

Value = dict[str, Any]


def openapi_route(table: Iterable[web.RouteDef]) -> web.RouteDef:
    """A route that shows what is in a table, and itself."""

    @described(Description("This document", {200: Content(JSON, Value)}, tag="server"))
    async def show(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=JSON)

    route = web.get(PATH, show)
    body = json.dumps(document([*table, route])).encode()
    return route


def document(table: Iterable[web.RouteDef]) -> Value:
    """The document."""
    schemas = _Schemas()
    paths: dict[str, Value] = {}
    for route in table:
        description = getattr(route.handler, "description", None)
        if isinstance(description, Description):
            path = _PART.sub(lambda part: f"{{{part[1]}}}", route.path)
            paths.setdefault(path, {})[route.method.lower()] = _operation(route, description, schemas)
    return {
        "openapi": _VERSION,
        "info": {"title": "imagebuilder serve", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


class _Schemas:
    """The schemas of types; those with a name are collected."""

    def __init__(self) -> None:
        self.named: Value = {}

    def of(self, value: Any) -> Value:
        """A schema, which may refer to named ones."""
        schema = TypeAdapter(value).json_schema(ref_template=_REFERENCE, mode="serialization")
        return self._collected(schema)

    def taken(self, model: type[BaseModel]) -> Value:
        """That of what is taken."""
        return self._collected(model.model_json_schema(ref_template=_REFERENCE))

    def _collected(self, schema: Value) -> Value:
        self.named |= schema.pop("$defs", {})
        return schema


def _operation(route: web.RouteDef, description: Description, schemas: _Schemas) -> Value:
    operation: Value = {
        "summary": description.summary,
        "tags": [description.tag],
        "parameters": [*_path_parameters(route.path), *_query_parameters(description, schemas)],
        "responses": {
            str(status): _response(status, content, schemas) for status, content in description.answers.items()
        },
    }
    if description.bodies:
        content = {body.media_type: {"schema": _taken(body, schemas)} for body in description.bodies}
        operation["requestBody"] = {"required": True, "content": content}
    if getattr(route.handler, GUARDED, False):
        operation["security"] = [{"token": []}, {"cookie": []}]
    return operation


def _path_parameters(path: str) -> Iterator[Value]:
    for name, pattern in _PART.findall(path):
        schema = {"type": "string", "pattern": f"^(?:{pattern})$"} if pattern else {"type": "string", "minLength": 1}
        yield {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(description: Description, schemas: _Schemas) -> Iterator[Value]:
    if description.query is None:
        return
    schema = schemas.taken(description.query)
    for name, value in schema["properties"].items():
        yield {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": value}


def _response(status: int, content: Content | None, schemas: _Schemas) -> Value:
    reason = web.Response(status=status).reason
    if content is None:
        return {"description": reason}
    schema = schemas.of(content.value) if content.value is not None else {"type": "string"}
    return {"description": reason, "content": {content.media_type: {"schema": schema}}}


def _taken(content: Content, schemas: _Schemas) -> Value:
    if content.value is None:
        return {"type": "string"}
    if isinstance(content.value, type) and issubclass(content.value, BaseModel):
        return schemas.taken(content.value)
    return schemas.of(content.value)
