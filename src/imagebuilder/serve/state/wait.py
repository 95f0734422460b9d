"""Waiting for tasks to end, wherever the server runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imagebuilder.host import clock
from imagebuilder.serve.state import tasks
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.tasks import Task

_INTERVAL = 0.5


def await_tasks(
    database: Database, task_ids: Sequence[str], on_end: Callable[[Task], None] | None = None
) -> list[Task]:
    """All tasks, when they are over, in the order in which they ended; each goes to `on_end` at once.

    When we are interrupted, those that have not begun are withdrawn.
    """
    waiting, over = set(task_ids), []
    try:
        while waiting:
            for task in database.do(lambda connection: tasks.ended(connection, sorted(waiting), clock.now())):
                waiting.remove(task.id)
                over.append(task)
                if on_end:
                    on_end(task)
            if waiting:
                clock.sleep(_INTERVAL)
    except KeyboardInterrupt:
        database.do(lambda connection: tasks.withdraw(connection, sorted(waiting), clock.now()))
        raise
    return over
