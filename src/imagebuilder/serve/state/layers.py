"""The layer of a node's own that it was last given, without secrets."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from imagebuilder.serve.state.tables import LAYERS


@dataclass(frozen=True, slots=True)
class Given:
    """A layer that a node was given: its sha256, and its files as text that may be shown."""

    sha256: str
    files: str


def remember(connection: Connection, node_id: str, given: Given) -> None:
    """Remember what a node is given."""
    connection.execute(delete(LAYERS).where(LAYERS.c.node_id == node_id))
    connection.execute(insert(LAYERS).values(node_id=node_id, sha256=given.sha256, files=given.files))


def last(connection: Connection, node_id: str) -> Given | None:
    """What a node was given last."""
    row = connection.execute(select(LAYERS).where(LAYERS.c.node_id == node_id)).one_or_none()
    return Given(row.sha256, row.files) if row else None
