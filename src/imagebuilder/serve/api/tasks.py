"""Commands for nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from imagebuilder.errors import ForbiddenError
from imagebuilder.serve.api.operation import Asked, Input, Line, Office, Operation
from imagebuilder.serve.desk import Ordered
from imagebuilder.serve.state.journal import Entry
from imagebuilder.serve.state.output import News, Position
from imagebuilder.serve.state.tasks import LONGEST, Order, Task

AT_ONCE = 1000
"""So many tasks may be asked for in one request."""
TaskId = Annotated[str, Field(pattern="^[0-9a-f]{24}$")]


def _number(value: Any) -> Any:
    """JSON has one kind of numbers, and 9.0 is 9; text is none."""
    if type(value) not in (int, float):
        raise ValueError("this is no number")
    return value


_WHOLE = BeforeValidator(_number)
Count = Annotated[int, Field(ge=0, le=(1 << 53) - 1), _WHOLE]


class Which(Input):
    """Of one node, in one state."""

    node: Line = ""
    state: Literal["", "queued", "given", "done", "failed", "lost", "withdrawn"] = ""


class Command(Input):
    """A line for /bin/sh, the seconds that it may take, how often it may be begun again when it was lost.

    One that `destroys` needs somebody who is `sure`, and profiles that allow it.
    """

    command: Annotated[str, Field(pattern=r"^[^\x00]+$", max_length=100_000)]
    timeout: Annotated[int, Field(gt=0, le=LONGEST), _WHOLE] = 600
    retries: Annotated[int, Field(ge=0, le=LONGEST), _WHOLE] = 0

    destroys: Literal["", "erase", "flash"] = ""
    sure: Annotated[bool, Field(strict=True)] = False

    def order(self) -> Order:
        """The same as a value. Raises ForbiddenError for what nobody is sure of."""
        if self.destroys and not self.sure:
            raise ForbiddenError(f"this would {self.destroys}, and nobody says that he is sure")
        return Order(self.command, self.timeout, self.retries, destroys=self.destroys)


class Known(Input):
    """What is known of a task: when it was given to its node, and how many bytes it has said since."""

    task: TaskId
    given: Count = 0
    stdout: Count = 0
    stderr: Count = 0


class Positions(Input):
    """Tasks, and what is known of them."""

    tasks: Annotated[list[Known], Field(max_length=AT_ONCE)]


class TaskIds(Input):
    """Some tasks."""

    tasks: Annotated[list[TaskId], Field(max_length=AT_ONCE)]


@dataclass(frozen=True, slots=True)
class Tasks:
    """Tasks, the last first."""

    tasks: list[Task]


@dataclass(frozen=True, slots=True)
class NewsList:
    """What has happened since."""

    news: list[News]


@dataclass(frozen=True, slots=True)
class Journal:
    """Who asked for what, the last first."""

    entries: list[Entry]


@dataclass(frozen=True, slots=True)
class OrderedTasks:
    """Tasks that wait for their nodes now."""

    tasks: list[Ordered]


def _order(office: Office, asked: Asked) -> Ordered:
    return office.desk.order(asked.path["node"], asked.body.order())


def _order_all(office: Office, asked: Asked) -> OrderedTasks:
    return OrderedTasks(office.desk.order_all(asked.path["profile"], asked.body.order()))


def _list(office: Office, asked: Asked) -> Tasks:
    return Tasks(office.desk.tasks(asked.query.node, asked.query.state))


def _show(office: Office, asked: Asked) -> Task:
    return office.desk.task(asked.path["task"])


def _cancel(office: Office, asked: Asked) -> Task:
    return office.desk.cancel(asked.path["task"])


def _news(office: Office, asked: Asked) -> NewsList:
    return NewsList(office.desk.news([Position(**known.model_dump()) for known in asked.body.tasks]))


def _journal(office: Office, _: Asked) -> Journal:
    return Journal(office.desk.journal())


def _withdraw(office: Office, asked: Asked) -> TaskIds:
    office.desk.withdraw(asked.body.tasks)
    return TaskIds(tasks=asked.body.tasks)


OPERATIONS = (
    Operation("POST", "/nodes/{node}/tasks", "Run a command on a node", Ordered, _order, body=Command, status=201),
    Operation(
        "POST",
        "/profiles/{profile}/tasks",
        "Run a command on all nodes that have asked and have a profile",
        OrderedTasks,
        _order_all,
        body=Command,
        status=201,
    ),
    Operation("GET", "/tasks", "List tasks, without what their commands said", Tasks, _list, query=Which),
    Operation("GET", "/tasks/{task}", "A task, with all that its command said", Task, _show),
    Operation("POST", "/tasks/{task}/withdraw", "Do not begin a task; 409 if it has begun", Task, _cancel),
    Operation("POST", "/news", "What tasks have said since, and how they ended", NewsList, _news, body=Positions),
    Operation("GET", "/journal", "Who asked for what", Journal, _journal),
    Operation("POST", "/withdrawals", "Do not begin what has not begun", TaskIds, _withdraw, body=TaskIds),
)
