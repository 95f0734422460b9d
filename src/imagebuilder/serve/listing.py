"""Machines for people and programs to read: what each gets, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from imagebuilder.serve.identity import Identity
from imagebuilder.serve.nodes import Nodes
from imagebuilder.serve.state import boots, nodes
from imagebuilder.serve.state.boots import BOOTING, FAILED, SCRIPT, Boot, Event, how_far
from imagebuilder.serve.state.database import Database
from imagebuilder.serve.state.nodes import Node


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that has asked, or an entry of nodes.yml: what it gets now, how its last boot went, when it asked."""

    machine: str
    name: str
    profile: str
    image: str
    state: str = ""
    seen: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """The boots of a machine, the last first, and what it reported of that one."""

    boots: tuple[Boot, ...] = ()
    events: tuple[Event, ...] = ()


def list_machines(roster: Nodes, database: Database | None) -> list[Machine]:
    """Machines that have asked, the last first; then entries of nodes.yml that fit none of these, and its default."""
    seen, last = database.do(_read) if database else ([], {})
    machines, met = [], set()
    for node in seen:
        assignment = roster.assignment(node.identity)
        entry = assignment.entry if assignment else None
        met.add(entry)
        boot = last.get(node.id)
        machines.append(
            Machine(
                str(node.identity),
                (entry and entry.name) or "",
                assignment.profile.name if assignment else "",
                assignment.profile.image if assignment else "",
                state_of_boot(boot) if boot else "discovered",
                node.last_seen,
            )
        )
    machines += [
        Machine(entry.text, entry.name or "", entry.profile, roster.profiles[entry.profile].image)
        for entry in roster.entries
        if entry not in met
    ]
    if roster.default:
        machines.append(Machine("all others", "", roster.default, roster.profiles[roster.default].image))
    return machines


def _read(connection: Connection) -> tuple[list[Node], dict[str, Boot]]:
    return nodes.all_nodes(connection), boots.last_boots(connection)


def history_of(identity: Identity, database: Database | None) -> History:
    """What is remembered of a machine."""

    def read(connection: Connection) -> History:
        node = nodes.find(connection, identity)
        all_boots = boots.boots_of(connection, node.id) if node else []
        events = boots.events_of(connection, all_boots[0].id) if all_boots else []
        return History(tuple(all_boots), tuple(events))

    return database.do(read) if database else History()


def state_of_boot(boot: Boot) -> str:
    """How far a boot came, in a word or two."""
    state = how_far(boot.phase, boot.code)
    more = {FAILED: f"{state}: {boot.code}", SCRIPT: "got its script", BOOTING: f"{state}: {boot.phase}"}
    return more.get(state, state)
