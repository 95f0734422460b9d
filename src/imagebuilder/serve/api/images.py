"""What the store has, and which names stand for what: channels move here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from imagebuilder.errors import UnknownError, UserError
from imagebuilder.serve.api.operation import Asked, Input, Line, Office, Operation
from imagebuilder.store.channels import delete_tag, move_tag, roll_back
from imagebuilder.store.index import full_name
from imagebuilder.store.listing import describe, list_entries
from imagebuilder.store.values import DetailsValue, EntryValue, details_value, entry_value


@dataclass(frozen=True, slots=True)
class Images:
    """What names stand for."""

    names: list[EntryValue]


@dataclass(frozen=True, slots=True)
class Channel:
    """A name (`IMAGE:TAG`) and the digest of the manifest that it stands for now; null: it is gone."""

    name: str
    digest: str | None


class Target(Input):
    """Another name (`IMAGE[:TAG]`) of the same image."""

    of: Annotated[Line, Field(min_length=1)]


def _name(asked: Asked) -> str:
    try:
        return full_name(asked.path["name"])
    except UserError as error:
        raise UnknownError(error.message, hint=error.hint) from None


def _list(office: Office, _: Asked) -> Images:
    return Images([entry_value(entry) for entry in list_entries(office.layout)])


def _show(office: Office, asked: Asked) -> DetailsValue:
    return details_value(describe(office.layout, _name(asked)))


def _move(office: Office, asked: Asked) -> Channel:
    name = _name(asked)
    manifest = move_tag(office.layout, full_name(asked.body.of), name)
    office.desk.note("move", name, manifest.digest)
    return Channel(name, manifest.digest)


def _delete(office: Office, asked: Asked) -> Channel:
    name = _name(asked)
    delete_tag(office.layout, name)
    office.desk.note("delete", name)
    return Channel(name, None)


def _roll_back(office: Office, asked: Asked) -> Channel:
    name = _name(asked)
    manifest = roll_back(office.layout, name)
    office.desk.note("roll back", name, manifest.digest)
    return Channel(name, manifest.digest)


OPERATIONS = (
    Operation("GET", "/images", "List what the store has", Images, _list),
    Operation("GET", "/images/{name}", "The layers of an image, its past, what is attached", DetailsValue, _show),
    Operation(
        "PUT", "/images/{name}", "Have a name stand for what another one stands for", Channel, _move, body=Target
    ),
    Operation("DELETE", "/images/{name}", "Take a name away, with its past", Channel, _delete),
    Operation("POST", "/images/{name}/rollback", "Have a name stand for what it stood for before", Channel, _roll_back),
)
