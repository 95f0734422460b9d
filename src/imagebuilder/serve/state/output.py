"""What commands say while they run: bytes of two streams, as far as the node has posted them.

Their results come as a whole at the end, and count; this is for who watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Base64Bytes
from sqlalchemy import Connection, func, insert, select

from imagebuilder.serve.state import tasks
from imagebuilder.serve.state.tables import OUTPUT, TASKS
from imagebuilder.serve.state.tasks import GIVEN, Task

STDOUT, STDERR = "stdout", "stderr"
MOST = 6_000_000
"""Bytes that are kept of a stream: our agent ends a command that says more than 5,120,000."""
_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Position:
    """What somebody knows of a task: when it was given to its node, the bytes of its streams that he has read."""

    task: str
    given: int = 0
    stdout: int = 0
    stderr: int = 0


@dataclass(frozen=True, slots=True)
class News:
    """What a task's command has said since, and, when all of it has been read, how the task ended.

    With another `given` than before it was begun (again), and said all of this since then.
    """

    task: str
    given: int
    stdout: Base64Bytes = b""
    stderr: Base64Bytes = b""
    ended: Task | None = None


def take(connection: Connection, task_id: str, stream: str, start: int, data: bytes) -> bool:
    """Keep what comes behind the first `start` bytes. Returns whether these are known; what is known stays."""
    end = _end(connection, task_id, stream)
    new = data[end - start :][: MOST - end]
    if start <= end and new:
        connection.execute(insert(OUTPUT).values(task_id=task_id, stream=stream, start=end, data=new))
    return start <= end


def is_running(connection: Connection, node_id: str, task_id: str) -> bool:
    """Whether a node has a task now."""
    which = (TASKS.c.id == task_id, TASKS.c.node_id == node_id, TASKS.c.state == GIVEN)
    return connection.execute(select(TASKS.c.id).where(*which)).one_or_none() is not None


def news_of(connection: Connection, positions: Sequence[Position], now: int) -> list[News]:
    """What there is to tell of tasks of which so much is known; nothing of those that have not changed."""
    wanted = {position.task: position for position in positions}
    over = {task.id: task for task in tasks.ended(connection, list(wanted), now)}
    begun = select(TASKS.c.id, TASKS.c.given).where(TASKS.c.id.in_(wanted), TASKS.c.given > 0)
    given = {row.id: row.given for row in connection.execute(begun)}
    last = select(OUTPUT.c.task_id, OUTPUT.c.stream, func.max(OUTPUT.c.start).label("start"))
    last = last.where(OUTPUT.c.task_id.in_(wanted)).group_by(OUTPUT.c.task_id, OUTPUT.c.stream)
    starts = {(row.task_id, row.stream): row.start for row in connection.execute(last)}
    found = []
    for task_id, position in wanted.items():
        known = position if position.given == given.get(task_id, 0) else Position(task_id, given.get(task_id, 0))
        stdout, stderr = (
            _since(connection, task_id, stream, start) if starts.get((task_id, stream), -1) >= start else b""
            for stream, start in ((STDOUT, known.stdout), (STDERR, known.stderr))
        )
        if stdout or stderr:
            found.append(News(task_id, known.given, stdout, stderr))
        elif task_id in over or known != position:
            found.append(News(task_id, known.given, ended=over.get(task_id)))
    return found


def _end(connection: Connection, task_id: str, stream: str) -> int:
    which = (OUTPUT.c.task_id == task_id, OUTPUT.c.stream == stream)
    query = select(OUTPUT.c.start + func.length(OUTPUT.c.data)).where(*which).order_by(OUTPUT.c.start.desc()).limit(1)
    return connection.execute(query).scalar() or 0


def _since(connection: Connection, task_id: str, stream: str, start: int) -> bytes:
    """From a piece that begins at `start` on; not all of it at once."""
    which = (OUTPUT.c.task_id == task_id, OUTPUT.c.stream == stream, OUTPUT.c.start >= start)
    said = b""
    for row in connection.execute(select(OUTPUT.c.data).where(*which).order_by(OUTPUT.c.start)):
        said += row.data
        if len(said) >= _AT_ONCE:
            break
    return said
