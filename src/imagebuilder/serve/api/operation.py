"""An operation of the API as a value: where it is, what it takes, what it answers, what does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from imagebuilder.serve.local import LocalDesk
from imagebuilder.store.layout import Layout

PREFIX = "/api/1"

Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=128)]
"""A word or more, on one line."""


class Input(BaseModel):
    """What a request says, in its query or its body; nothing else may be there."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Office:
    """What operations work on."""

    desk: LocalDesk
    layout: Layout


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: the parts of its path by name, its query and its body, checked."""

    path: Mapping[str, str]
    query: Any = None
    body: Any = None


@dataclass(frozen=True, slots=True)
class Operation:
    """`work` is done in a thread and returns an `answer`; it raises UserError for what cannot be.

    `path` is below the prefix, and has its parts in braces; `query` and `body` are models of what is taken.
    """

    method: str
    path: str
    summary: str
    answer: Any
    work: Callable[[Office, Asked], Any] = field(repr=False)
    query: type[Input] | None = None
    body: type[Input] | None = None
    status: int = 200
