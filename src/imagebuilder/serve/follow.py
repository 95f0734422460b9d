"""Following tasks to their end, wherever the server is, and while it restarts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from imagebuilder.errors import UnreachableError
from imagebuilder.host import clock
from imagebuilder.serve.desk import Desk
from imagebuilder.serve.state.output import News, Position
from imagebuilder.serve.state.tasks import Task

_INTERVAL = 0.5
_AWAY_INTERVAL = 3


def follow(
    desk: Desk, task_ids: Sequence[str], on_news: Callable[[News], None], tell: Callable[[str], None]
) -> list[Task]:
    """All tasks, when they are over, in the order in which they ended; what happens meanwhile goes to `on_news`.

    A server that goes away is waited for; `tell` hears of it. When we are interrupted, tasks that have not begun are
    withdrawn.
    """
    waiting, over, away = {task_id: Position(task_id) for task_id in task_ids}, list[Task](), False
    try:
        while waiting:
            try:
                found = desk.news(list(waiting.values()))
            except UnreachableError as error:
                if not away:
                    tell(f"{error.message}; waiting for it")
                away, found = True, []
            else:
                away = False
            for news in found:
                waiting[news.task] = _read(waiting[news.task], news)
                on_news(news)
                if news.ended:
                    del waiting[news.task]
                    over.append(news.ended)
            if waiting and not any(news.stdout or news.stderr for news in found):
                clock.sleep(_AWAY_INTERVAL if away else _INTERVAL)
    except KeyboardInterrupt:
        with suppress(UnreachableError):
            desk.withdraw(sorted(waiting))
        raise
    return over


def _read(position: Position, news: News) -> Position:
    """What is known when news have been read."""
    before = position if position.given == news.given else Position(position.task, news.given)
    return replace(before, stdout=before.stdout + len(news.stdout), stderr=before.stderr + len(news.stderr))
