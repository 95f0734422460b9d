"""Who asked for what, and when; what commands that destroy came to."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from imagebuilder.serve.state.tables import JOURNAL

KEEP = 10_000
"""So many entries are remembered."""
SERVER = "the server"


@dataclass(frozen=True, slots=True)
class Deed:
    """`who` did `what` (a word or two), to `which` node, profile or image."""

    who: str
    what: str
    which: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.who}: {self.what} {self.which}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Entry:
    """The same, and when (seconds since 1970)."""

    number: int
    at: int
    who: str
    what: str
    which: str
    detail: str


def note(connection: Connection, deed: Deed, now: int) -> None:
    """Write it down. What is too long is cut."""
    last = connection.execute(select(func.max(JOURNAL.c.number))).scalar() or 0
    row = {"who": deed.who[:128], "what": deed.what[:32], "which": deed.which[:256], "detail": deed.detail[:1024]}
    connection.execute(insert(JOURNAL).values(number=last + 1, at=now, **row))
    connection.execute(delete(JOURNAL).where(JOURNAL.c.number <= last + 1 - KEEP))


def entries(connection: Connection, most: int) -> list[Entry]:
    """The last ones, the last first."""
    rows = connection.execute(select(JOURNAL).order_by(JOURNAL.c.number.desc()).limit(most))
    return [Entry(row.number, row.at, row.who, row.what, row.which, row.detail) for row in rows]
