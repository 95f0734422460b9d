"""The operator's desk where state, nodes.yml and store are: in the server, and in a program beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from imagebuilder.errors import ForbiddenError, UnknownError, UserError
from imagebuilder.host import clock, files
from imagebuilder.serve.assign import assigned
from imagebuilder.serve.catalog import Catalog
from imagebuilder.serve.desk import Assigned, Inventory, MachineDetails, Ordered
from imagebuilder.serve.listing import Machine, history_of, list_machines
from imagebuilder.serve.nodes import Nodes, parse_nodes, text_of
from imagebuilder.serve.state import journal, nodes, output, tasks
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.journal import Deed, Entry
from imagebuilder.serve.state.nodes import Node
from imagebuilder.serve.state.output import News, Position
from imagebuilder.serve.state.tasks import Order, Task

_MOST_ENTRIES = 1000
_LISTED = "`imagebuilder node ls` lists the nodes that have asked"


@dataclass(frozen=True, slots=True)
class LocalDesk:
    """`database` is None where nothing is remembered yet, `nodes_file` where no file says who gets what.

    What is done is written down as done by `who`, and told.
    """

    database: Database | None
    roster: Callable[[], Nodes]
    catalog: Callable[[], Catalog]
    nodes_file: Path | None = None
    who: str = "somebody"
    tell: Callable[[str], None] = lambda _: None

    def machines(self) -> list[Machine]:
        return list_machines(self.roster(), self.database)

    def machine(self, node: str, vendor: str = "", model: str = "") -> MachineDetails:
        roster = self.roster()
        identity = roster.identity(node, vendor, model)
        history = history_of(identity, self.database)
        assignment = roster.assignment(identity)
        if assignment is None:
            return MachineDetails(str(identity), boots=history.boots, events=history.events)
        manifest = self.catalog().manifest(assignment.profile.image)
        return MachineDetails(
            node=str(identity),
            profile=assignment.profile.name,
            because=str(assignment.entry.location) if assignment.entry else "default",
            image=assignment.profile.image,
            manifest=manifest.digest if manifest else None,
            arguments=assignment.arguments,
            boots=history.boots,
            events=history.events,
        )

    def assign(self, node: str, profile: str) -> Assigned:
        path = self.nodes_file
        if path is None:
            raise UserError("no nodes.yml says which machine gets what", hint="`--nodes FILE` names one")
        with files.locked(path.with_name(f".{path.name}.lock")):
            text = text_of(path)
            identity = parse_nodes(text, path).identity(node)
            wants = {key: value for key in ("mac", "uuid", "serial") if (value := getattr(identity, key))}
            files.publish_text(assigned(text, path, wants, profile), path)
        self.note("assign", str(identity), profile)
        return Assigned(str(identity), profile)

    def inventory(self, node: str) -> Inventory:
        known = self._known(node)
        task = self._state.do(lambda connection: tasks.inventory_of(connection, known.id))
        if task is None:
            return Inventory(str(known.identity))
        if task.state != tasks.DONE:
            return Inventory(str(known.identity), task.state, problem=task.result.stderr)
        try:
            said = json.loads(task.result.stdout)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return Inventory(str(known.identity), task.state, problem="what the node said is no inventory")
        return Inventory(str(known.identity), task.state, task.finished, said)

    def renew_inventory(self, node: str) -> Ordered:
        return self.order(node, tasks.TAKE_INVENTORY)

    def order(self, node: str, order: Order) -> Ordered:
        (ordered,) = self._queue([self._known(node)], order)
        return ordered

    def order_all(self, profile: str, order: Order) -> list[Ordered]:
        roster = self.roster()
        found = [
            node
            for node in self._state.do(nodes.all_nodes)
            if (assignment := roster.assignment(node.identity)) and assignment.profile.name == profile
        ]
        if not found:
            raise UnknownError(f"no node that has asked has the profile `{profile}`", hint=_LISTED)
        return self._queue(found, order)

    def tasks(self, node: str = "", state: str = "") -> list[Task]:
        """The last tasks, the last first, without what their commands said; of one node, in one state."""
        node_id = self._known(node).id if node else ""
        return self._state.do(lambda connection: tasks.listed(connection, clock.now(), node_id, state))

    def task(self, task_id: str) -> Task:
        """One task, with all that its command said."""
        task = self._state.do(lambda connection: tasks.of_id(connection, task_id, clock.now()))
        if task is None:
            raise UnknownError(f"there is no task `{task_id}`")
        return task

    def cancel(self, task_id: str) -> Task:
        """Do not begin a task. Raises UserError when it has begun."""
        found = self.task(task_id)
        if not self._state.do(lambda connection: tasks.withdraw(connection, [task_id], clock.now())):
            raise UserError(f"the task `{task_id}` is {self.task(task_id).state}: only what waits can be withdrawn")
        self.note("withdraw", found.node, found.order.command)
        return self.task(task_id)

    def journal(self) -> list[Entry]:
        """What operators have asked for, the last first."""
        return self._state.do(lambda connection: journal.entries(connection, _MOST_ENTRIES))

    def note(self, what: str, which: str, detail: str = "") -> None:
        """Write down what was done, where there is a state."""
        deed = Deed(self.who, what, which, detail)
        self.tell(str(deed))
        if self.database:
            self.database.do(lambda connection: journal.note(connection, deed, clock.now()))

    def news(self, positions: Sequence[Position]) -> list[News]:
        return self._state.do(lambda connection: output.news_of(connection, positions, clock.now()))

    def withdraw(self, task_ids: Sequence[str]) -> None:
        self._state.do(lambda connection: tasks.withdraw(connection, task_ids, clock.now()))

    def close(self) -> None:
        if self.database:
            self.database.close()

    @property
    def _state(self) -> Database:
        if self.database is None:
            raise UnknownError(
                "no server has remembered anything here", hint="`--state` says where, `--server` who knows"
            )
        return self.database

    def _known(self, given: str) -> Node:
        identity = self.roster().identity(given)
        node = self._state.do(lambda connection: nodes.find(connection, identity))
        if node is None:
            raise UnknownError(f"`{given}` has never asked for a boot script", hint=_LISTED)
        return node

    def _queue(self, whom: Sequence[Node], order: Order) -> list[Ordered]:
        now = clock.now()
        self._refuse_to_destroy(whom, order)
        deeds = [Deed(self.who, order.destroys or order.kind, str(node.identity), order.command) for node in whom]

        def work(connection: Connection) -> list[Ordered]:
            for deed in deeds:
                journal.note(connection, deed, now)
            return [Ordered(tasks.queue(connection, node.id, order, now), str(node.identity)) for node in whom]

        queued = self._state.do(work)
        for deed in deeds:
            self.tell(str(deed))
        return queued

    def _refuse_to_destroy(self, whom: Sequence[Node], order: Order) -> None:
        """Raise ForbiddenError unless all nodes' profiles allow it: nothing is done on some of them only."""
        if order.destroys and order.retries:
            raise UserError("what destroys is begun once", hint="leave `--retries` out")
        roster = self.roster()
        refused = [str(node.identity) for node in whom if not roster.allows(node.identity, order.destroys)]
        if refused:
            problem = f"the profile of {', '.join(refused[:5])} does not allow `{order.destroys}`"
            raise ForbiddenError(problem, hint=f"nodes.yml says so: `allow: [{order.destroys}]` in a profile")
