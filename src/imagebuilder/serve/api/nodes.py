"""Machines: what each gets, how far it came, what it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from imagebuilder.serve.api.operation import Asked, Input, Line, Office, Operation
from imagebuilder.serve.desk import Assigned, Inventory, MachineDetails, Ordered
from imagebuilder.serve.listing import Machine


@dataclass(frozen=True, slots=True)
class Machines:
    """Machines that have asked, the last first; then the rest of nodes.yml."""

    nodes: list[Machine]


class Kind(Input):
    """A maker and a model that a machine is taken for, where it has not said."""

    vendor: Line = ""
    model: Line = ""


class Profile(Input):
    """A profile of nodes.yml."""

    profile: Annotated[Line, Field(min_length=1)]


def _list(office: Office, _: Asked) -> Machines:
    return Machines(office.desk.machines())


def _show(office: Office, asked: Asked) -> MachineDetails:
    return office.desk.machine(asked.path["node"], asked.query.vendor, asked.query.model)


def _assign(office: Office, asked: Asked) -> Assigned:
    return office.desk.assign(asked.path["node"], asked.body.profile)


def _inventory(office: Office, asked: Asked) -> Inventory:
    return office.desk.inventory(asked.path["node"])


def _renew_inventory(office: Office, asked: Asked) -> Ordered:
    return office.desk.renew_inventory(asked.path["node"])


OPERATIONS = (
    Operation("GET", "/nodes", "List machines", Machines, _list),
    Operation("GET", "/nodes/{node}", "What a machine gets, and how its boots went", MachineDetails, _show, query=Kind),
    Operation("PUT", "/nodes/{node}/profile", "Give a machine another profile", Assigned, _assign, body=Profile),
    Operation("GET", "/nodes/{node}/inventory", "What a node is made of", Inventory, _inventory),
    Operation(
        "POST", "/nodes/{node}/inventory", "Have a node take its inventory", Ordered, _renew_inventory, status=201
    ),
)
