"""How many nodes and tasks are in which state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from imagebuilder.serve.state.boots import BOOTING, READY, SCRIPT, STARTED, how_far
from imagebuilder.serve.state.boots import FAILED as FAILED_BOOT
from imagebuilder.serve.state.tables import BOOTS, NODES, TASKS
from imagebuilder.serve.state.tasks import DONE, FAILED, GIVEN, LOST, QUEUED, WITHDRAWN

DISCOVERED = "discovered"


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers by state; every state is there, 0 or not."""

    nodes: Mapping[str, int]
    tasks: Mapping[str, int]


def count(connection: Connection) -> Counts:
    """Ask the database; some milliseconds for thousands of nodes."""
    nodes = Counter(dict.fromkeys((DISCOVERED, SCRIPT, BOOTING, STARTED, READY, FAILED_BOOT), 0))
    newest = select(BOOTS.c.node_id, func.max(BOOTS.c.number).label("number")).group_by(BOOTS.c.node_id).subquery()
    join = BOOTS.join(newest, (BOOTS.c.node_id == newest.c.node_id) & (BOOTS.c.number == newest.c.number))
    rows = select(BOOTS.c.phase, BOOTS.c.code, func.count().label("nodes")).select_from(join)
    for row in connection.execute(rows.group_by(BOOTS.c.phase, BOOTS.c.code)):
        nodes[how_far(row.phase, row.code)] += row.nodes
    all_nodes = connection.execute(select(func.count()).select_from(NODES)).scalar() or 0
    nodes[DISCOVERED] = all_nodes - sum(nodes.values())
    tasks = dict.fromkeys((QUEUED, GIVEN, DONE, FAILED, LOST, WITHDRAWN), 0)
    states = select(TASKS.c.state, func.count()).group_by(TASKS.c.state)
    return Counts(nodes, tasks | dict(connection.execute(states).tuples().all()))
