"""The hardware of all nodes, to be searched: a few lines of each, out of the last inventory that went well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from imagebuilder.serve.hardware import summary
from imagebuilder.serve.state import tasks
from imagebuilder.serve.state.database import Database

_AT_ONCE = 20
"""So many inventories are read in one transaction: nodes want the database meanwhile."""
_MOST_FOUND = 200

Lines = list[tuple[str, str]]
"""Rows of a kind and a text, as hardware.summary gives them."""


class Inventories:
    """What nodes are made of. An inventory is read once; what is kept of it is short."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, Lines] = {}

    async def of(self, node_id: str) -> Lines:
        """The lines of one node; none when it has not said anything."""
        latest = await self._database.run(lambda connection: tasks.latest_inventories(connection, node_id))
        await self._learn(list(latest.values()))
        return self._known.get(latest.get(node_id, ""), [])

    async def search(self, words: str) -> dict[str, Any]:
        """The nodes that have all words somewhere in their lines, and how many there are; not more than a page."""
        latest = await self._database.run(tasks.latest_inventories)
        current = set(latest.values())
        self._known = {task_id: lines for task_id, lines in self._known.items() if task_id in current}
        await self._learn(list(latest.values()))
        wanted = words.lower().split()
        told = ((node_id, self._known.get(task_id, [])) for node_id, task_id in latest.items())
        found = [{"node": node_id, "lines": lines} for node_id, lines in told if _fits(lines, wanted)]
        return {"count": len(found), "of": len(latest), "nodes": found[:_MOST_FOUND]}

    async def _learn(self, task_ids: list[str]) -> None:
        unknown = [task_id for task_id in task_ids if task_id not in self._known]
        for at in range(0, len(unknown), _AT_ONCE):
            some = unknown[at : at + _AT_ONCE]

            def read(connection: Connection, some: list[str] = some) -> dict[str, str]:
                return tasks.outputs_of(connection, some)

            outputs = await self._database.run(read)
            self._known |= await asyncio.to_thread(_summaries, outputs)


def _summaries(outputs: Mapping[str, str]) -> dict[str, Lines]:
    return {task_id: _lines(text) for task_id, text in outputs.items()}


def _lines(text: str) -> Lines:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return summary(value) if isinstance(value, dict) else []


def _fits(lines: Lines, words: list[str]) -> bool:
    text = "\n".join(f"{kind} {line}" for kind, line in lines).lower()
    return all(word in text for word in words)
