"""All nodes at a glance: of each its last boot and what that has fetched, without logs and records."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, case, func, select

from imagebuilder.serve.identity import Identity
from imagebuilder.serve.state.boots import AGENT
from imagebuilder.serve.state.tables import BOOTS, EVENTS, NODES, TASKS
from imagebuilder.serve.state.tasks import GIVEN, QUEUED

_AT_ONCE = 500
"""So many ids go into one query: databases have a limit of parameters."""
_COMMAND = 200
_OF_BOOT = ("number", "profile", "image", "manifest", "started", "changed", "phase", "code")
OUTCOMES = ("ready", "failed", "other")


@dataclass(frozen=True, slots=True)
class LastBoot:
    """The last boot of a node; `ms` and `bytes` are what its record says so far, `started`, `changed` since 1970."""

    number: int
    profile: str
    image: str
    manifest: str
    started: int
    changed: int
    phase: str
    code: str
    ms: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Glance:
    """A node and its last boot, None when it was never given anything."""

    id: str
    identity: Identity
    address: str
    first_seen: int
    last_seen: int
    boot: LastBoot | None


@dataclass(frozen=True, slots=True)
class TaskGlance:
    """A task without its output, its command cut short; times are 0 for what has not happened."""

    id: str
    node: str
    kind: str
    command: str
    state: str
    created: int
    given: int
    finished: int
    status: int


def glances(connection: Connection, node_ids: Collection[str] | None = None) -> list[Glance]:
    """All nodes, or those that have some ids, the one that was seen last first."""
    if node_ids is None:
        return [_glance(row._mapping) for row in connection.execute(_glance_query())]
    found = []
    for some in _chunks(sorted(node_ids)):
        rows = connection.execute(_glance_query().where(NODES.c.id.in_(some)))
        found += [_glance(row._mapping) for row in rows]
    return found


def recent_tasks(connection: Connection, count: int, *, kind: str = "", node_id: str = "") -> list[TaskGlance]:
    """The last tasks that were asked for, of all nodes or of one, of all kinds or of one, the newest first."""
    names = ("id", "kind", "state", "created", "given", "finished", "status")
    columns = [*(TASKS.c[name] for name in names), TASKS.c.node_id.label("node")]
    query = select(*columns, func.substr(TASKS.c.command, 1, _COMMAND).label("command"))
    if kind:
        query = query.where(TASKS.c.kind == kind)
    if node_id:
        query = query.where(TASKS.c.node_id == node_id)
    rows = connection.execute(query.order_by(TASKS.c.number.desc()).limit(count))
    return [TaskGlance(**row._mapping) for row in rows]


def open_tasks(connection: Connection) -> dict[str, int]:
    """How many tasks wait and how many run."""
    which = TASKS.c.state.in_((QUEUED, GIVEN))
    counted = connection.execute(select(TASKS.c.state, func.count()).where(which).group_by(TASKS.c.state))
    return {QUEUED: 0, GIVEN: 0} | dict(counted.tuples().all())


def boots_since(connection: Connection, since: int, seconds: int) -> list[tuple[int, str, int]]:
    """How many boots began in each stretch of `seconds` from a time on, by outcome: rows of (start, outcome, count)."""
    start = (BOOTS.c.started // seconds * seconds).label("start")
    outcome = case((BOOTS.c.code != "", OUTCOMES[1]), (BOOTS.c.phase == AGENT, OUTCOMES[0]), else_=OUTCOMES[2])
    query = select(start, outcome.label("outcome"), func.count()).where(BOOTS.c.started >= since)
    rows = connection.execute(query.group_by("start", "outcome").order_by("start"))
    return [(when, what, count) for when, what, count in rows]


def _glance_query() -> Select[Any]:
    last = select(func.max(BOOTS.c.number)).where(BOOTS.c.node_id == NODES.c.id).correlate(NODES).scalar_subquery()
    record = {
        name: select(func.coalesce(total, 0)).where(EVENTS.c.boot_id == BOOTS.c.id).correlate(BOOTS).scalar_subquery()
        for name, total in (("ms", func.max(EVENTS.c.ms)), ("bytes", func.sum(EVENTS.c.bytes)))
    }
    boot = [BOOTS.c[name] for name in _OF_BOOT]
    columns: list[Any] = [NODES, *boot, *(query.label(name) for name, query in record.items())]
    join = NODES.outerjoin(BOOTS, (BOOTS.c.node_id == NODES.c.id) & (BOOTS.c.number == last))
    return select(*columns).select_from(join).order_by(NODES.c.last_seen.desc(), NODES.c.identity)


def _glance(row: RowMapping) -> Glance:
    identity = Identity(row["mac"], row["uuid"], row["serial"], row["vendor"], row["model"])
    boot = None
    if row["number"] is not None:
        told = {name: row[name] for name in _OF_BOOT}
        boot = LastBoot(**told, ms=int(row["ms"]), bytes=int(row["bytes"]))
    return Glance(row["id"], identity, row["address"], row["first_seen"], row["last_seen"], boot)


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(ids), _AT_ONCE):
        yield ids[at : at + _AT_ONCE]
