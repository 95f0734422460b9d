"""What an operator sees and asks for, wherever the server is.

local.py answers out of the state, nodes.yml and the store; remote.py asks a server, whose API asks local.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from imagebuilder.serve.listing import Machine
from imagebuilder.serve.state.boots import Boot, Event
from imagebuilder.serve.state.output import News, Position
from imagebuilder.serve.state.tasks import Order


@dataclass(frozen=True, slots=True)
class MachineDetails:
    """What one machine boots, and which line says so (null: nothing); its boots, the last first; that one's events."""

    node: str
    profile: str | None = None
    because: str | None = None
    image: str | None = None
    manifest: str | None = None
    arguments: str | None = None
    boots: tuple[Boot, ...] = ()
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Assigned:
    """A machine and the profile that it has now."""

    node: str
    profile: str


@dataclass(frozen=True, slots=True)
class Ordered:
    """A task that waits for its node now."""

    task: str
    node: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a node says that it is made of, and when it said so (seconds since 1970).

    `inventory` is null as long as it has not said; `state` is that of the task that asks it ("": there is none),
    `problem` what went wrong there.
    """

    node: str
    state: str = ""
    taken: int = 0
    inventory: dict[str, Any] | None = None
    problem: str = ""


class Desk(Protocol):
    """A node is given as a MAC address, a UUID, a name of nodes.yml or a serial number.

    Everything raises UnknownError for what is not there, UserError for what is impossible.
    """

    def machines(self) -> list[Machine]:
        """Machines that have asked, the last first; then the rest of nodes.yml."""
        ...

    def machine(self, node: str, vendor: str = "", model: str = "") -> MachineDetails:
        """One of them, as one of this maker and model."""
        ...

    def assign(self, node: str, profile: str) -> Assigned:
        """Give a machine another profile, in nodes.yml."""
        ...

    def inventory(self, node: str) -> Inventory:
        """The last inventory that a node took."""
        ...

    def renew_inventory(self, node: str) -> Ordered:
        """Have a node take its inventory."""
        ...

    def order(self, node: str, order: Order) -> Ordered:
        """Ask for a command on a node."""
        ...

    def order_all(self, profile: str, order: Order) -> list[Ordered]:
        """Ask for a command on all nodes that have asked and have a profile now."""
        ...

    def news(self, positions: Sequence[Position]) -> list[News]:
        """What there is to tell of tasks of which so much is known; nothing of those that have not changed."""
        ...

    def withdraw(self, task_ids: Sequence[str]) -> None:
        """Do not begin those of some tasks that have not begun."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...
