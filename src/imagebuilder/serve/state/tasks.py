"""Tasks: commands for nodes, each run once.

    queued -> given -> done | failed
                    -> lost            the node asked for another, or let its time pass; begun again while retries last
    queued -> withdrawn

A task is given to one boot of its node, once; what was given is not given again, unless it was lost and may be
begun again. A result is taken once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, func, insert, literal, select, update

from imagebuilder.host.tokens import new_token
from imagebuilder.serve.state.tables import NODES, OUTPUT, TASKS

QUEUED, GIVEN, DONE, FAILED, LOST, WITHDRAWN = "queued", "given", "done", "failed", "lost", "withdrawn"
COMMAND, INVENTORY = "command", "inventory"
_GRACE = 120
"""Seconds that a result may take beyond the command's time: the agent delivers for as long as it takes."""
_KEEP = 200
"""So many finished tasks of a node are remembered."""
LONGEST = 1_000_000
"""The largest number of seconds, and of retries."""
MOST = 1000
"""So many tasks are listed at most."""
_ALL = select(TASKS, NODES.c.identity).join(NODES)
_NOTHING: ColumnElement[str] = literal("")

# Made once, as those in nodes.py.
_LAST = select(func.max(TASKS.c.number))
_OPEN = _ALL.where(TASKS.c.node_id == bindparam("node"), TASKS.c.state.in_((QUEUED, GIVEN))).order_by(TASKS.c.number)
_ONE = select(TASKS).where(TASKS.c.id == bindparam("task"), TASKS.c.node_id == bindparam("node"))
_CHANGED = update(TASKS).where(TASKS.c.id == bindparam("task"))
_INVENTORY = (
    _ALL.where(TASKS.c.node_id == bindparam("node"), TASKS.c.kind == INVENTORY)
    .order_by((TASKS.c.state == DONE).desc(), TASKS.c.number.desc())
    .limit(1)
)
_OVER = (TASKS.c.node_id == bindparam("node"), TASKS.c.finished > 0, TASKS.c.kind == COMMAND)
_KEPT = select(TASKS.c.id).where(*_OVER).order_by(TASKS.c.number.desc()).limit(bindparam("keep"))
_DOOMED = _ALL.where(TASKS.c.node_id == bindparam("node"), TASKS.c.state == QUEUED, TASKS.c.destroys != "").order_by(
    TASKS.c.number
)
_UNSAID = delete(OUTPUT).where(OUTPUT.c.task_id == bindparam("task"))
_FORGET = delete(TASKS).where(*_OVER, TASKS.c.id.not_in(_KEPT))


@dataclass(frozen=True, slots=True)
class Order:
    """A command for /bin/sh, the seconds that it may take, how often it may be begun again when it was lost.

    Its `kind` is COMMAND, or INVENTORY, whose command is a program of ours that the node fetches. `destroys` says that
    it does (`erase`, `flash`), "" that it does not.
    """

    command: str
    timeout: int = 600
    retries: int = 0
    kind: str = COMMAND
    destroys: str = ""


TAKE_INVENTORY = Order("./inventory.sh", timeout=300, retries=3, kind=INVENTORY)


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended: its exit status (128 + N for signal N), what it said."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Task:
    """An order for a node and what has become of it; `result.status` is -1 as long as nobody knows.

    `node` is what the node is known by; times are in seconds since 1970, `given` and `finished` 0 before.
    """

    id: str
    node: str
    order: Order
    state: str
    created: int
    given: int
    finished: int
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
        "destroys": order.destroys,
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
    task_id = tasks[0].id
    connection.execute(_CHANGED, {"task": task_id, "state": GIVEN, "given": now})
    connection.execute(_UNSAID, {"task": task_id})
    return replace(_task(tasks[0]._mapping), state=GIVEN, given=now)


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


def waiting_to_destroy(connection: Connection, node_id: str) -> list[Task]:
    """The tasks of a node that will destroy something, and have not begun."""
    return [_task(row._mapping) for row in connection.execute(_DOOMED, {"node": node_id})]


def withdraw(connection: Connection, task_ids: Sequence[str], now: int) -> int:
    """Do not begin those of some tasks that have not begun; returns how many these are."""
    waiting = update(TASKS).where(TASKS.c.id.in_(task_ids), TASKS.c.state == QUEUED)
    return connection.execute(waiting.values(state=WITHDRAWN, finished=now)).rowcount


def ended(connection: Connection, task_ids: Sequence[str], now: int) -> list[Task]:
    """Those of some tasks that are over by now."""
    expire(connection, now)
    rows = connection.execute(_ALL.where(TASKS.c.id.in_(task_ids), TASKS.c.finished > 0))
    return [_task(row._mapping) for row in rows]


def inventory_of(connection: Connection, node_id: str) -> Task | None:
    """The last inventory of a node that went well, else the last that was asked for."""
    row = connection.execute(_INVENTORY, {"node": node_id}).one_or_none()
    return _task(row._mapping) if row else None


def of_id(connection: Connection, task_id: str, now: int) -> Task | None:
    """One task as it is now."""
    expire(connection, now)
    row = connection.execute(_ALL.where(TASKS.c.id == task_id)).one_or_none()
    return _task(row._mapping) if row else None


def listed(connection: Connection, now: int, node_id: str = "", state: str = "") -> list[Task]:
    """The last `MOST` tasks (of one node, in one state), the last first, without what their commands said."""
    expire(connection, now)
    columns = [column for column in TASKS.c if column.name not in ("stdout", "stderr")]
    query = select(*columns, _NOTHING.label("stdout"), _NOTHING.label("stderr"), NODES.c.identity).join(NODES)
    if node_id:
        query = query.where(TASKS.c.node_id == node_id)
    if state:
        query = query.where(TASKS.c.state == state)
    rows = connection.execute(query.order_by(TASKS.c.number.desc()).limit(MOST))
    return [_task(row._mapping) for row in rows]


def latest_inventories(connection: Connection, node_id: str = "") -> dict[str, str]:
    """By node, of all or of one, the last inventory that went well: the task's id."""
    query = select(TASKS.c.node_id, TASKS.c.id).where(TASKS.c.kind == INVENTORY, TASKS.c.state == DONE)
    if node_id:
        query = query.where(TASKS.c.node_id == node_id)
    return dict(connection.execute(query.order_by(TASKS.c.number)).tuples().all())


def outputs_of(connection: Connection, task_ids: Sequence[str]) -> dict[str, str]:
    """By id what some tasks wrote to standard output."""
    query = select(TASKS.c.id, TASKS.c.stdout).where(TASKS.c.id.in_(task_ids))
    return dict(connection.execute(query).tuples().all())


def _lose(connection: Connection, which: ColumnElement[bool], now: int) -> None:
    """Given tasks of which no result came are begun again, or lost."""
    given = update(TASKS).where(which, TASKS.c.state == GIVEN)
    connection.execute(given.where(TASKS.c.retries > 0).values(state=QUEUED, retries=TASKS.c.retries - 1))
    connection.execute(given.values(state=LOST, finished=now))


def _task(row: RowMapping) -> Task:
    order = Order(row["command"], row["timeout"], row["retries"], row["kind"], row["destroys"])
    result = Result(row["status"], row["stdout"], row["stderr"])
    times = (row["created"], row["given"], row["finished"])
    return Task(row["id"], row["identity"], order, row["state"], *times, result)
