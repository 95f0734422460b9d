"""nodes.yml: which image each machine boots, with which kernel arguments.

profiles:
  inventory: {image: "discovery:stable", arguments: console=ttyS0}
  storage: {image: raid, allow: [erase]}    # commands that destroy, `erase` and `flash`, are allowed by name
nodes:                       # the first entry all of whose keys fit a machine is its own
  - {mac: "52:54:00:12:34:56", name: r1n7, profile: storage}
  - {vendor: Dell*, model: PowerEdge R7*, profile: storage}
default: inventory           # for all others; without it they get nothing

Profiles may also have `files`, and profiles and nodes `variables`, whose types `variables` at the top declares:
they make the node's own layer (nodelayer/).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imagebuilder.errors import Location, SpecError, UserError
from imagebuilder.serve.catalog import Catalog
from imagebuilder.serve.identity import Identity, normal_mac, normal_uuid
from imagebuilder.serve.nodelayer.layer import NodeLayer, layer_of
from imagebuilder.serve.nodelayer.templates import LayerFile, read_files
from imagebuilder.serve.nodelayer.variables import Value, Variable, read_declarations, read_values
from imagebuilder.serve.scripts import Start, checked_arguments, checked_image, start_of
from imagebuilder.spec.config import Text, read_keys
from imagebuilder.spec.yamlfile import Document, parse

_EXAMPLE = "two lines are enough: `profiles: {all: {image: discovery}}` and `default: all`"
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def _mac(value: Any) -> Any:
    if isinstance(value, int):
        raise ValueError('write an address in quotes, "52:54:00:12:34:56": without, YAML takes some for numbers')
    return normal_mac(value) if isinstance(value, str) else value


def _uuid(value: Any) -> Any:
    return normal_uuid(value) if isinstance(value, str) else value


def _entries(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else () if value is None else value


def _checked(value: Any, check: Any) -> Any:
    try:
        return check(value) if isinstance(value, str) else value
    except UserError as error:
        raise ValueError(error.message) from None


Image = Annotated[str, BeforeValidator(lambda value: _checked(value, checked_image))]
Arguments = Annotated[str, BeforeValidator(lambda value: _checked(value, checked_arguments))]


Destruction = Literal["erase", "flash"]
"""What a command may destroy: data on disks, firmware."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileKeys(_Strict):
    """The whole file."""

    profiles: dict[Annotated[str, Field(pattern=_NAME)], Any] = Field(min_length=1)
    nodes: Annotated[tuple[Any, ...], BeforeValidator(_entries)] = ()
    default: str | None = None
    variables: dict[str, Any] = {}


class ProfileKeys(_Strict):
    """A profile: an image (`IMAGE[:TAG]` or `IMAGE@sha256:HEX`), kernel arguments, what commands may destroy, files."""

    image: Image
    arguments: Arguments = ""
    allow: Annotated[tuple[Destruction, ...], BeforeValidator(_entries)] = ()
    files: Annotated[tuple[Any, ...], BeforeValidator(_entries)] = ()
    variables: dict[str, Any] = {}
    tasks_by_address: bool = False


class NodeKeys(_Strict):
    """An entry of `nodes`: what a machine must say of itself, and what it gets then."""

    profile: str
    mac: Annotated[str | None, BeforeValidator(_mac)] = None
    uuid: Annotated[str | None, BeforeValidator(_uuid)] = None
    serial: Text | None = None
    vendor: Text | None = None
    model: Text | None = None
    name: Annotated[str | None, Field(pattern=_NAME)] = None
    arguments: Arguments = ""
    variables: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Profile:
    """An image by its full name, kernel arguments, what commands may destroy on its nodes.

    `files` are those of each node's own layer, `values` are for these.
    """

    name: str
    image: str
    arguments: str = ""
    allow: tuple[str, ...] = ()
    files: tuple[LayerFile, ...] = ()
    values: tuple[tuple[str, Value], ...] = ()
    tasks_by_address: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `nodes`. `wants` is what it asks of a machine, by the names of Identity's fields."""

    wants: tuple[tuple[str, str], ...]
    profile: str
    arguments: str
    name: str | None
    location: Location
    values: tuple[tuple[str, Value], ...] = ()

    @property
    def text(self) -> str:
        """What it asks, to be shown."""
        return " ".join(f"{key}={value}" for key, value in self.wants)

    def fits(self, identity: Identity) -> bool:
        """Whether a machine is all that this entry says; `vendor` and `model` are patterns."""
        for key, wanted in self.wants:
            found: str = getattr(identity, key)
            if not (fnmatchcase(found, wanted) if key in ("vendor", "model") else found == wanted):
                return False
        return True


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a machine gets, with all its kernel arguments, and the entry that says so (None: the default)."""

    profile: Profile
    arguments: str
    entry: Entry | None = None

    def layer(self, identity: Identity) -> NodeLayer | None:
        """The machine's own layer, None if its profile has no files. Raises SpecError for what cannot be rendered."""
        if not self.profile.files:
            return None
        facts = {**asdict(identity), "name": (self.entry and self.entry.name) or "", "profile": self.profile.name}
        values = dict((*self.profile.values, *(self.entry.values if self.entry else ())))
        return layer_of(self.profile.files, values, facts)


@dataclass(frozen=True, slots=True)
class Nodes:
    """The file's content; `default` is a profile's name."""

    profiles: Mapping[str, Profile] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    default: str | None = None
    _of_one: dict[str, list[int]] = field(init=False, default_factory=dict, compare=False, repr=False)
    """By an address or number that they want the places of entries: most of them name one machine."""
    _of_many: list[int] = field(init=False, default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        for place, entry in enumerate(self.entries):
            own = next((value for key, value in entry.wants if key in ("mac", "uuid", "serial")), None)
            (self._of_many if own is None else self._of_one.setdefault(own, [])).append(place)

    def identity(self, given: str, vendor: str = "", model: str = "") -> Identity:
        """The machine that somebody means by a MAC address, a UUID, a name of the file or a serial number."""
        more = {"vendor": vendor, "model": model}
        for entry in self.entries:
            if entry.name == given:
                return Identity(**{**more, **{key: text for key, text in entry.wants if key not in more}})
        for key in ("mac", "uuid"):
            try:
                return Identity.from_query({**more, key: given})
            except ValueError:
                continue
        return Identity.from_query({**more, "serial": given})

    def allows(self, identity: Identity, destruction: str) -> bool:
        """Whether a command may destroy something on a machine; one that destroys nothing ("") always may."""
        assignment = self.assignment(identity)
        return not destruction or (assignment is not None and destruction in assignment.profile.allow)

    def entry_of(self, identity: Identity) -> Entry | None:
        """The first entry that fits a machine."""
        own = (self._of_one.get(key, ()) for key in (identity.mac, identity.uuid, identity.serial))
        places = sorted({*self._of_many, *(place for some in own for place in some)})
        return next((self.entries[place] for place in places if self.entries[place].fits(identity)), None)

    def assignment(self, identity: Identity) -> Assignment | None:
        """What a machine gets; None for nothing."""
        if entry := self.entry_of(identity):
            profile = self.profiles[entry.profile]
            return Assignment(profile, f"{profile.arguments} {entry.arguments}".strip(), entry)
        if self.default is None:
            return None
        profile = self.profiles[self.default]
        return Assignment(profile, profile.arguments)

    def takes_tasks_by_address(self, profile: str) -> bool:
        """Whether agents of a profile's nodes need no token to get tasks."""
        return profile in self.profiles and self.profiles[profile].tasks_by_address

    @property
    def templates(self) -> frozenset[Path]:
        """The files beside this one that it was read from."""
        return frozenset(file.source for profile in self.profiles.values() for file in profile.files if file.source)


def start_for(catalog: Catalog, nodes: Nodes, identity: Identity) -> Start:
    """What a machine starts. Raises UserError when it gets nothing, or what the store does not have."""
    assignment = nodes.assignment(identity)
    if assignment is None:
        raise UserError(f"no profile is for {identity}", hint="`imagebuilder node assign` gives it one, `default:` all")
    start = start_of(catalog, assignment.profile.image, assignment.arguments)
    layer = assignment.layer(identity)
    image = catalog.images[start.manifest.sha256]
    if layer and not image.node_layer and catalog.signature(start.manifest.sha256):
        raise UserError(
            f"`{start.name}` is signed, and takes no layer of a node's own",
            hint="`node_layer: true` under `image:` of its config file, and build",
        )
    return replace(start, profile=assignment.profile.name, layer=layer)


def refuse_secrets(nodes: Nodes) -> None:
    """Raises SpecError for the first file with a secret in it, which a server without HTTPS would show to everybody."""
    for profile in nodes.profiles.values():
        for file in profile.files:
            if file.secrets:
                raise SpecError(
                    f"`{file.dest}` has the secret `{file.secrets[0]}`, and secrets go over HTTPS only",
                    location=file.location,
                    hint="`imagebuilder serve --tls-cert FILE --tls-key FILE`, and initrds with `tls: true`",
                )


def for_all(image: str, arguments: str) -> Nodes:
    """Where there is no file: one image for every machine, or, with "", none."""
    return Nodes({"default": Profile("default", image, arguments)}, default="default") if image else Nodes()


def read_nodes(path: Path) -> Nodes:
    """Read the file. Raises SpecError at the line of what is wrong."""
    return parse_nodes(text_of(path), path)


def text_of(path: Path) -> str:
    """The file's text. Raises SpecError when it cannot be had."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError("this file does not exist", location=Location(path), hint=_EXAMPLE) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"this file cannot be read: {error}", location=Location(path)) from None


def parse_nodes(text: str, path: Path) -> Nodes:
    """The content of a file that came from `path`. Raises SpecError at the line of what is wrong."""
    document = parse(text, path)
    keys = read_keys(FileKeys, document.value, document)
    declared = read_declarations(keys.variables, document)
    profiles = {name: _profile(document, name, value, declared) for name, value in keys.profiles.items()}
    entries = tuple(_entry(document, number, value, profiles, declared) for number, value in enumerate(keys.nodes))
    _refuse_doubles(entries)
    if keys.default is not None:
        _known(keys.default, profiles, document.at("default"))
    return Nodes(profiles, entries, keys.default)


def _profile(document: Document, name: str, value: Any, declared: Mapping[str, Variable]) -> Profile:
    keys = read_keys(ProfileKeys, value, document, "profiles", name)
    files = read_files(keys.files, declared, document, "profiles", name, "files")
    values = read_values(keys.variables, declared, document, "profiles", name, "variables")
    return Profile(name, keys.image, keys.arguments, keys.allow, files, values, keys.tasks_by_address)


def _entry(
    document: Document, number: int, value: Any, profiles: Mapping[str, Profile], declared: Mapping[str, Variable]
) -> Entry:
    keys = read_keys(NodeKeys, value, document, "nodes", number)
    location = document.at("nodes", number)
    wants = keys.model_dump(include={"mac", "uuid", "serial", "vendor", "model"}, exclude_none=True)
    if not wants:
        raise SpecError(
            "this fits every machine", location=location, hint="say `mac`, `uuid`, `serial`, `vendor` or `model`"
        )
    _known(keys.profile, profiles, document.at("nodes", number, "profile"))
    values = read_values(keys.variables, declared, document, "nodes", number, "variables")
    return Entry(tuple(wants.items()), keys.profile, keys.arguments, keys.name, location, values)


def _known(name: str, profiles: Mapping[str, Profile], location: Location) -> None:
    if name not in profiles:
        near = difflib.get_close_matches(name, profiles, n=1, cutoff=0.5)
        hint = f"did you mean `{near[0]}`?" if near else f"there is {', '.join(f'`{known}`' for known in profiles)}"
        raise SpecError(f"there is no profile `{name}`", location=location, hint=hint)


def _refuse_doubles(entries: tuple[Entry, ...]) -> None:
    """Of two entries for the same machines the second would never count; of two names neither says which."""
    seen: dict[object, Entry] = {}
    for entry in entries:
        for what in (tuple(sorted(entry.wants)), entry.name):
            if what is not None and what in seen:
                which = f"the name `{what}`" if isinstance(what, str) else "an entry for the same machine"
                raise SpecError(f"{which} is also in line {seen[what].location.line}", location=entry.location)
            seen[what] = entry
