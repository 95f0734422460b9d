r"""Files that nodes.yml gives to nodes, and what becomes of them for one node.

files:
  - {dest: /etc/hostname, content: "{{ hostname }}\n"}
  - {dest: /root/.ssh/authorized_keys, src: nodes/keys.j2, mode: "0600"}

All of them are Jinja templates, rendered in a sandbox: what a template does not ask for is not there, and a name
without a value is an error. The same file and values give the same bytes: there is no chance and no time in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import jinja2
import jinja2.meta
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imagebuilder.errors import Location, SpecError
from imagebuilder.serve.nodelayer.variables import FACTS, SECRET, Value, Variable
from imagebuilder.spec.config import ImagePath, Mode, Text, read_keys
from imagebuilder.spec.template import FAULTS, line_of
from imagebuilder.spec.yamlfile import Document, Key

MASK = "********"
"""In place of a secret where a file is shown."""
_NOT_SHOWN = "(not shown: it has secrets)\n"
_IN_USR = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
_NOT_OF_AN_IMAGE = ("dev", "proc", "run", "sys", ".on-imagebuilder")
_LARGEST_ID = 0xFFFF_FFFE


def _dest(value: Any) -> Any:
    if isinstance(value, str):
        first, *rest = value.removeprefix("/").split("/")
        if not all((first, *rest)) or "." in (first, *rest) or not value.isprintable():
            raise ValueError(f"`{value}` is no path of a file, as /etc/hostname is")
        if first in _NOT_OF_AN_IMAGE:
            raise ValueError(f"`/{first}` is nothing that an image has")
        if rest and first in _IN_USR:
            raise ValueError(f"`/{first}` is a link in an image: write `/usr{value}`")
    return value


def _id(value: Any) -> Any:
    if value == "root":
        return 0
    if type(value) is not int or not 0 <= value <= _LARGEST_ID:
        raise ValueError(f"`{value}` is not known here: write the number that the image gives it")
    return value


class LayerFileKeys(BaseModel):
    """An entry of `files`: a template, in a file beside nodes.yml or as text, and its place in the image."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    dest: Annotated[ImagePath, BeforeValidator(_dest)]
    src: str | None = None
    content: Text | None = None
    mode: Annotated[Mode, Field(le=0o777)] = 0o644
    owner: Annotated[int, BeforeValidator(_id)] = 0
    group: Annotated[int, BeforeValidator(_id)] = 0


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A template, checked: its text, where it goes, which secrets are in it; `location` is where the text begins."""

    dest: str
    text: str
    mode: int = 0o644
    owner: int = 0
    group: int = 0
    secrets: tuple[str, ...] = ()
    source: Path | None = None
    location: Location = field(default=Location(Path()), compare=False)

    def at(self, line: int) -> Location:
        """Where a line of the template stands."""
        return Location(self.source, line) if self.source else self.location


@dataclass(frozen=True, slots=True)
class Rendered:
    """A file for one node; `shown` is its text with secrets masked."""

    dest: str
    text: str
    shown: str
    mode: int
    owner: int
    group: int
    secrets: tuple[str, ...] = ()


def read_files(
    given: Sequence[Any], declared: Mapping[str, Variable], document: Document, *above: Key
) -> tuple[LayerFile, ...]:
    """The entries of `files`, which stand under `above`. Raises SpecError at the line of what is wrong."""
    found: dict[str, LayerFile] = {}
    for number, value in enumerate(given):
        place = (*above, number)
        keys = read_keys(LayerFileKeys, value, document, *place)
        if keys.dest in found:
            raise SpecError(f"`{keys.dest}` is there twice", location=document.at(*place))
        text, source = _text_of(keys, document, place)
        file = LayerFile(keys.dest, text, keys.mode, keys.owner, keys.group, (), source, document.at(*place))
        found[keys.dest] = _checked(file, declared)
    for dest, file in found.items():
        if above_it := next((other for other in found if dest.startswith(f"{other}/")), None):
            raise SpecError(f"`{dest}` cannot lie in `{above_it}`, which is a file", location=file.location)
    return tuple(found.values())


def _text_of(keys: LayerFileKeys, document: Document, place: tuple[Key, ...]) -> tuple[str, Path | None]:
    """The template's text, and the file that it is in, if it is in one."""
    location = document.at(*place)
    if (keys.src is None) == (keys.content is None):
        raise SpecError("give either `src` or `content`", location=location)
    if keys.content is not None:
        return keys.content, None
    name = Path(keys.src or "")
    if name.is_absolute() or ".." in name.parts:
        raise SpecError(f"`{name}` must lie beside {document.path.name}, or in a folder there", location=location)
    path = document.path.parent / name
    try:
        return path.read_text(encoding="utf-8"), path
    except FileNotFoundError:
        hint = f"templates are looked up in {document.path.parent.resolve()}"
        raise SpecError(f"there is no template `{name}`", location=location, hint=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the template `{name}` cannot be read: {error}", location=location) from None


def _checked(file: LayerFile, declared: Mapping[str, Variable]) -> LayerFile:
    """The file with the secrets that it uses. Raises SpecError for what is no template, and for unknown names."""
    try:
        tree = _environment().parse(file.text)
        _compiled(file.text)
    except jinja2.TemplateSyntaxError as error:
        raise SpecError(f"this is no template: {error.message}", location=file.at(error.lineno)) from None
    used = jinja2.meta.find_undeclared_variables(tree)
    for name in sorted(used - declared.keys() - {FACTS} - _environment().globals.keys()):
        line = next(found.lineno for found in tree.find_all(jinja2.nodes.Name) if found.name == name)
        hint = f"say there of what type it is: `{name}: text`"
        raise SpecError(f"`variables:` of nodes.yml has no `{name}`", location=file.at(line), hint=hint)
    secrets = tuple(sorted(name for name in used & declared.keys() if declared[name].kind == SECRET))
    source, location = file.source, file.location
    return LayerFile(file.dest, file.text, file.mode, file.owner, file.group, secrets, source, location)


def render(file: LayerFile, values: Mapping[str, Value], facts: Mapping[str, str]) -> Rendered:
    """The file of a node. Raises SpecError at the template's line for what cannot be rendered."""
    known: dict[str, Any] = {**values, FACTS: facts}
    template = _compiled(file.text)
    try:
        text = template.render(known)
    except FAULTS as error:
        raise _fault(file, facts, error) from None
    return Rendered(file.dest, text, _shown(file, known, text), file.mode, file.owner, file.group, file.secrets)


def _fault(file: LayerFile, facts: Mapping[str, str], error: Exception) -> SpecError:
    who = facts["name"] or facts["mac"] or facts["uuid"] or facts["serial"] or "this node"
    hint = None
    if isinstance(error, jinja2.UndefinedError):
        message, hint = str(error), "`variables:` of the node or of its profile give values"
    elif file.secrets:
        message = "what went wrong may show its secrets"
    else:
        message = str(error)
    return SpecError(f"cannot be rendered for {who}: {message}", location=file.at(line_of(error)), hint=hint)


def _shown(file: LayerFile, known: Mapping[str, Any], text: str) -> str:
    """The text as if secrets had another value: so nothing that was made of one is shown either."""
    if not file.secrets:
        return text
    masked = {
        name: (MASK,) * len(value) if isinstance(value := known.get(name), tuple) else MASK for name in file.secrets
    }
    try:
        return _compiled(file.text).render({**known, **masked})
    except FAULTS:
        return _NOT_SHOWN


@lru_cache
def _environment() -> ImmutableSandboxedEnvironment:
    # Lines that are blocks leave none behind, as in Ansible's templates.
    environment = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


@lru_cache(1024)
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)
