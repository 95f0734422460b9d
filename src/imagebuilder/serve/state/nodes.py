"""Nodes as they are seen: each is known by its MAC address, else by its UUID, else by its serial number."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.tokens import new_token
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.state.tables import NODES

MOST = 20_000
"""Anybody may ask for a boot script under any name: so many are remembered."""

# Statements that every boot needs are made once: SQLAlchemy takes five times as long for one that is made anew.
_KNOWN_AS = select(NODES).where(NODES.c.identity == bindparam("key"))
_OF_ID = select(NODES).where(NODES.c.id == bindparam("node"))
_SEEN = update(NODES).where(NODES.c.identity == bindparam("key"))


@dataclass(frozen=True, slots=True)
class Node:
    """A machine that has asked for a boot script; times in seconds since 1970."""

    id: str
    identity: Identity
    address: str
    first_seen: int
    last_seen: int


def see(connection: Connection, identity: Identity, address: str, now: int) -> Node:
    """Remember that a machine asked from an address; what it does not say of itself now stays as it was.

    Raises ImagebuilderError for one node too many.
    """
    key = identity.mac or identity.uuid or identity.serial
    said = {name: value for name in ("mac", "uuid", "serial", "vendor", "model") if (value := getattr(identity, name))}
    changed = {**said, "address": address, "last_seen": now}
    if not connection.execute(_SEEN, {"key": key, **changed}).rowcount:
        if (connection.execute(select(func.count()).select_from(NODES)).scalar() or 0) >= MOST:
            raise ImagebuilderError(
                f"{MOST} nodes are known, and no more are taken", hint="is somebody making them up?"
            )
        empty = dict.fromkeys(("mac", "uuid", "serial", "vendor", "model"), "")
        new = {**empty, **changed, "id": new_token(), "identity": key, "first_seen": now}
        connection.execute(insert(NODES).values(new))
    return _node(connection.execute(_KNOWN_AS, {"key": key}).one()._mapping)


def all_nodes(connection: Connection) -> list[Node]:
    """Every node, the one that was seen last first."""
    rows = connection.execute(select(NODES).order_by(NODES.c.last_seen.desc(), NODES.c.identity))
    return [_node(row._mapping) for row in rows]


def find(connection: Connection, identity: Identity) -> Node | None:
    """The node that a machine is known as."""
    key = identity.mac or identity.uuid or identity.serial
    row = connection.execute(_KNOWN_AS, {"key": key}).one_or_none()
    return _node(row._mapping) if row else None


def of_id(connection: Connection, node_id: str) -> Node:
    """The node that has an id, which there is."""
    return _node(connection.execute(_OF_ID, {"node": node_id}).one()._mapping)


def _node(row: RowMapping) -> Node:
    identity = Identity(row["mac"], row["uuid"], row["serial"], row["vendor"], row["model"])
    return Node(row["id"], identity, row["address"], row["first_seen"], row["last_seen"])
