"""Boots of nodes: each begins with a boot script, whose token says in later reports which boot they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, bindparam, delete, func, insert, select, update

from imagebuilder import digest
from imagebuilder.host.tokens import new_token
from imagebuilder.serve.state.tables import BOOTS, EVENTS

SCRIPT = "script"
"""The phase of a boot that has not reported anything."""
LAST_PHASE = "switch"
"""What the initrd reports last."""
AGENT = "agent"
"""The phase of a boot whose agent has asked for tasks."""
BOOTED = (LAST_PHASE, AGENT)
"""The phases of a boot that has come to the booted system."""
BOOTING, STARTED, READY, FAILED = "booting", "started", "ready", "failed"
KEEP = 20
"""So many boots of a node are remembered."""

# Made once, as those in nodes.py.
_LAST = select(func.max(BOOTS.c.number)).where(BOOTS.c.node_id == bindparam("node"))
_OLD = delete(BOOTS).where(BOOTS.c.node_id == bindparam("node"), BOOTS.c.number <= bindparam("last"))
_OF_TOKEN = select(BOOTS).where(BOOTS.c.token == bindparam("hashed"))
_OF_AGENT = select(BOOTS).where(BOOTS.c.agent == bindparam("hashed"))
_CHANGED = update(BOOTS).where(BOOTS.c.id == bindparam("boot"))
_REPORTED = select(func.count()).where(EVENTS.c.boot_id == bindparam("boot"))


@dataclass(frozen=True, slots=True)
class Choice:
    """What a node was given: a profile, an image's full name, its manifest's digest, the sha256 of its own layer."""

    profile: str
    image: str
    manifest: str
    layer: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """A phase that a node says it has ended: `ms` since its kernel started; `code` when it could not go on."""

    phase: str
    ms: int
    bytes: int = 0
    retries: int = 0
    code: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Boot:
    """A boot, the n-th (`number`) of a node, and how far it came; times in seconds since 1970."""

    id: str
    node_id: str
    number: int
    choice: Choice
    started: int
    changed: int
    phase: str
    code: str
    log: str


def how_far(phase: str, code: str) -> str:
    """How far a boot came, in a word: SCRIPT, BOOTING, STARTED, READY or FAILED."""
    return FAILED if code else {SCRIPT: SCRIPT, LAST_PHASE: STARTED, AGENT: READY}.get(phase, BOOTING)


def begin(connection: Connection, node_id: str, choice: Choice, now: int) -> str:
    """Remember a new boot; returns its token. Old boots of the node are forgotten."""
    last = connection.execute(_LAST, {"node": node_id}).scalar() or 0
    token = new_token()
    new = {
        "id": new_token(),
        "node_id": node_id,
        "number": last + 1,
        "token": _hashed(token),
        "profile": choice.profile,
        "image": choice.image,
        "manifest": choice.manifest,
        "layer": choice.layer,
        "started": now,
        "changed": now,
        "phase": SCRIPT,
        "code": "",
        "log": "",
        "agent": "",
    }
    connection.execute(insert(BOOTS), new)
    connection.execute(_OLD, {"node": node_id, "last": last + 1 - KEEP})
    return token


def of_token(connection: Connection, token: str) -> Boot | None:
    """The boot whose script carried a token."""
    row = connection.execute(_OF_TOKEN, {"hashed": _hashed(token)}).one_or_none()
    return _boot(row._mapping) if row else None


def admit_agent(connection: Connection, boot: Boot, now: int) -> str:
    """A new token for the agent of a boot; the one before holds no more."""
    token = new_token()
    changed = {"agent": _hashed(token), "phase": AGENT, "changed": now}
    connection.execute(_CHANGED, {"boot": boot.id, **changed})
    return token


def of_agent(connection: Connection, token: str) -> Boot | None:
    """The boot whose agent has a token."""
    row = connection.execute(_OF_AGENT, {"hashed": _hashed(token)}).one_or_none()
    return _boot(row._mapping) if row else None


def report(connection: Connection, boot: Boot, events: Sequence[Event], now: int) -> int:
    """Take a node's record, all events so far each time; returns how many were new."""
    known = connection.execute(_REPORTED, {"boot": boot.id}).scalar() or 0
    new = events[known:]
    if new:
        rows = [
            {
                "boot_id": boot.id,
                "number": number,
                "phase": event.phase,
                "ms": event.ms,
                "bytes": event.bytes,
                "retries": event.retries,
                "code": event.code,
                "detail": event.detail,
            }
            for number, event in enumerate(new, known)
        ]
        connection.execute(insert(EVENTS), rows)
        changed = {"changed": now, "phase": new[-1].phase, "code": new[-1].code}
        connection.execute(_CHANGED, {"boot": boot.id, **changed})
    return len(new)


def keep_log(connection: Connection, boot: Boot, log: str) -> None:
    """Remember the log of a node that could not boot."""
    connection.execute(_CHANGED, {"boot": boot.id, "log": log})


def of_id(connection: Connection, boot_id: str) -> Boot | None:
    """The boot that has an id."""
    row = connection.execute(select(BOOTS).where(BOOTS.c.id == boot_id)).one_or_none()
    return _boot(row._mapping) if row else None


def boots_of(connection: Connection, node_id: str) -> list[Boot]:
    """The boots of a node, the last first."""
    rows = connection.execute(select(BOOTS).where(BOOTS.c.node_id == node_id).order_by(BOOTS.c.number.desc()))
    return [_boot(row._mapping) for row in rows]


def last_boots(connection: Connection) -> dict[str, Boot]:
    """By node the last boot of each."""
    newest = select(BOOTS.c.node_id, func.max(BOOTS.c.number).label("number")).group_by(BOOTS.c.node_id).subquery()
    join = BOOTS.join(newest, (BOOTS.c.node_id == newest.c.node_id) & (BOOTS.c.number == newest.c.number))
    return {row.node_id: _boot(row._mapping) for row in connection.execute(select(BOOTS).select_from(join))}


def events_of(connection: Connection, boot_id: str) -> list[Event]:
    """What a node reported of a boot, in order."""
    rows = connection.execute(select(EVENTS).where(EVENTS.c.boot_id == boot_id).order_by(EVENTS.c.number))
    return [Event(row.phase, row.ms, row.bytes, row.retries, row.code, row.detail) for row in rows]


def _boot(row: RowMapping) -> Boot:
    choice = Choice(row["profile"], row["image"], row["manifest"], row["layer"])
    times = (row["started"], row["changed"])
    return Boot(row["id"], row["node_id"], row["number"], choice, *times, row["phase"], row["code"], row["log"])


def _hashed(token: str) -> str:
    """Who reads the database cannot speak for nodes."""
    return digest.of_bytes(token.encode())
