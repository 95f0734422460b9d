"""Tasks: commands for nodes, each run once.

    queued -> given -> done | failed
                    -> lost            the node asked for another, or let its time pass; begun again while retries last
    queued -> withdrawn

A task is given to one boot of its node, once; what was given is not given again, unless it was lost and may be
begun again. A result is taken once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, func, insert, select, update

from imagebuilder.host.tokens import new_token
from imagebuilder.serve.state.tables import TASKS

QUEUED, GIVEN, DONE, FAILED, LOST, WITHDRAWN = "queued", "given", "done", "failed", "lost", "withdrawn"
COMMAND, INVENTORY = "command", "inventory"
_GRACE = 120
"""Seconds that a result may take beyond the command's time: the agent delivers for as long as it takes."""
_KEEP = 200
"""So many finished tasks of a node are remembered."""

# Made once, as those in nodes.py.
_LAST = select(func.max(TASKS.c.number))
_OPEN = (
    select(TASKS)
    .where(TASKS.c.node_id == bindparam("node"), TASKS.c.state.in_((QUEUED, GIVEN)))
    .order_by(TASKS.c.number)
)
_ONE = select(TASKS).where(TASKS.c.id == bindparam("task"), TASKS.c.node_id == bindparam("node"))
_CHANGED = update(TASKS).where(TASKS.c.id == bindparam("task"))
_INVENTORY = (
    select(TASKS)
    .where(TASKS.c.node_id == bindparam("node"), TASKS.c.kind == INVENTORY)
    .order_by((TASKS.c.state == DONE).desc(), TASKS.c.number.desc())
    .limit(1)
)
_OVER = (TASKS.c.node_id == bindparam("node"), TASKS.c.finished > 0, TASKS.c.kind == COMMAND)
_KEPT = select(TASKS.c.id).where(*_OVER).order_by(TASKS.c.number.desc()).limit(bindparam("keep"))
_FORGET = delete(TASKS).where(*_OVER, TASKS.c.id.not_in(_KEPT))


@dataclass(frozen=True, slots=True)
class Order:
    """A command for /bin/sh, the seconds that it may take, how often it may be begun again when it was lost.

    Its `kind` is COMMAND, or INVENTORY, whose command is a program of ours that the node fetches.
    """

    command: str
    timeout: int = 600
    retries: int = 0
    kind: str = COMMAND


TAKE_INVENTORY = Order("./inventory.sh", timeout=300, retries=3, kind=INVENTORY)


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended: its exit status (128 + N for signal N), what it said."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Task:
    """An order for a node and what has become of it; `result.status` is -1 as long as nobody knows."""

    id: str
    node_id: str
    order: Order
    state: str
    created: int
    result: Result


def queue(connection: Connection, node_id: str, order: Order, now: int) -> str:
    """Ask for a command on a node, behind those that it has to do already; returns the task's id."""
    last = connection.execute(_LAST).scalar() or 0
    task_id = new_token()
    new = {
        "id": task_id,
        "node_id": node_id,
        "number": last + 1,
        "kind": order.kind,
        "command": order.command,
        "timeout": order.timeout,
        "retries": order.retries,
        "state": QUEUED,
        "created": now,
        "given": 0,
        "finished": 0,
        "status": -1,
        "stdout": "",
        "stderr": "",
    }
    connection.execute(insert(TASKS), new)
    connection.execute(_FORGET, {"node": node_id, "keep": _KEEP})
    return task_id


def next_for(connection: Connection, node_id: str, now: int) -> Task | None:
    """Give a node the task that is next; what it was given before, and did not deliver, is lost."""
    tasks = connection.execute(_OPEN, {"node": node_id}).all()
    if any(row.state == GIVEN for row in tasks):
        _lose(connection, TASKS.c.node_id == node_id, now)
        tasks = connection.execute(_OPEN, {"node": node_id}).all()
    if not tasks:
        return None
    connection.execute(_CHANGED, {"task": tasks[0].id, "state": GIVEN, "given": now})
    return _task(tasks[0]._mapping)


def finish(connection: Connection, node_id: str, task_id: str, result: Result, now: int) -> bool:
    """Take a result; the first one counts. Returns whether the node ever had this task."""
    row = connection.execute(_ONE, {"task": task_id, "node": node_id}).one_or_none()
    if row is None or not row.given:
        return False
    # One that was taken for lost, and has not been begun again, has ended all the same.
    if row.state in (GIVEN, LOST):
        changed = {"state": FAILED if result.status else DONE, "finished": now}
        said = {"status": result.status, "stdout": result.stdout, "stderr": result.stderr}
        connection.execute(_CHANGED, {"task": task_id, **changed, **said})
    return True


def expire(connection: Connection, now: int) -> None:
    """Take for lost what should have ended."""
    _lose(connection, TASKS.c.given + TASKS.c.timeout + _GRACE < now, now)


def withdraw(connection: Connection, task_ids: Sequence[str], now: int) -> None:
    """Do not begin those of some tasks that have not begun."""
    waiting = update(TASKS).where(TASKS.c.id.in_(task_ids), TASKS.c.state == QUEUED)
    connection.execute(waiting.values(state=WITHDRAWN, finished=now))


def ended(connection: Connection, task_ids: Sequence[str], now: int) -> list[Task]:
    """Those of some tasks that are over by now."""
    expire(connection, now)
    rows = connection.execute(select(TASKS).where(TASKS.c.id.in_(task_ids), TASKS.c.finished > 0))
    return [_task(row._mapping) for row in rows]


def inventory_of(connection: Connection, node_id: str) -> Task | None:
    """The last inventory of a node that went well, else the last that was asked for."""
    row = connection.execute(_INVENTORY, {"node": node_id}).one_or_none()
    return _task(row._mapping) if row else None


def of_node(connection: Connection, node_id: str) -> list[Task]:
    """The tasks of a node, the last first."""
    rows = connection.execute(select(TASKS).where(TASKS.c.node_id == node_id).order_by(TASKS.c.number.desc()))
    return [_task(row._mapping) for row in rows]


def _lose(connection: Connection, which: ColumnElement[bool], now: int) -> None:
    """Given tasks of which no result came are begun again, or lost."""
    given = update(TASKS).where(which, TASKS.c.state == GIVEN)
    connection.execute(given.where(TASKS.c.retries > 0).values(state=QUEUED, retries=TASKS.c.retries - 1))
    connection.execute(given.values(state=LOST, finished=now))


def _task(row: RowMapping) -> Task:
    order = Order(row["command"], row["timeout"], row["retries"], row["kind"])
    result = Result(row["status"], row["stdout"], row["stderr"])
    return Task(row["id"], row["node_id"], order, row["state"], row["created"], result)
