"""What a route takes and answers, said where it is served, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

JSON, TEXT = "application/json", "text/plain"

H = TypeVar("H", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Content:
    """A body: its media type, and the type of its value where that is JSON."""

    media_type: str
    value: Any = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request was refused, and the way out."""

    error: str
    hint: str | None = None


PROBLEM, WORDS = Content(JSON, Problem), Content(TEXT)
"""What is refused with, in the operator's API and elsewhere."""


@dataclass(frozen=True, slots=True)
class Description:
    """In a line what a route does; what it takes, by media type; what it answers, by status (None: nothing)."""

    summary: str
    answers: Mapping[int, Content | None]
    query: type[BaseModel] | None = None
    bodies: tuple[Content, ...] = ()
    tag: str = field(default="nodes")


def described(description: Description) -> Callable[[H], H]:
    """Say it of a handler."""

    def decorate(handler: H) -> H:
        handler.__dict__["description"] = description
        return handler

    return decorate
