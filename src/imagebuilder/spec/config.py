"""A config file's `image:` keys, strictly.

Every key has one meaning and one type; what is not in these models is an error
that names the nearest key. The reference of the tree is checked against them.
"""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from imagebuilder.errors import Location, SpecError
from imagebuilder.spec.yamlfile import Document, Key

OverlayFormat = Literal["cpio.gz", "cpio.zst", "squashfs"]
Profile = Literal["metal", "virt"]

# Debian Policy 5.6.1 (package names) and 5.6.12 (versions); ':' in a name is apt's architecture qualifier.
_PACKAGE = re.compile(r"(?P<name>[a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?)(?:=(?P<version>[A-Za-z0-9.+~:-]+))?")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else _tuple(value)


def _package(value: Any) -> Any:
    if isinstance(value, str):
        match = _PACKAGE.fullmatch(value)
        if not match:
            raise ValueError(f"`{value}` is not a package name; write `name` or `name=version`")
        return {"package": match["name"], "version": match["version"]}
    return value


def _mode(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3,4}", value):
        raise ValueError(f'{value!r} is not a file mode; write it in quotes: "0644"')
    return int(value, 8)


class PackageRequest(_Strict):
    """A package, and the exact version when it is pinned."""

    package: str = Field(pattern=_PACKAGE.pattern)
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.package}={self.version}" if self.version else self.package


class FileRequest(_Strict):
    """A file or folder of the tree (or a literal text) and its place in the image."""

    dest: str = Field(pattern=r"^/")
    src: str | None = None
    content: str | None = None
    template: bool = False
    mode: Annotated[int | None, BeforeValidator(_mode)] = None
    owner: str = "root"
    group: str = "root"

    @model_validator(mode="after")
    def _one_origin(self) -> FileRequest:
        if (self.src is None) == (self.content is None):
            raise ValueError("give either `src` or `content`")
        if ".." in self.dest.split("/"):
            raise ValueError("`dest` must not contain `..`")
        return self


class Requirement(_Strict):
    """A file that the tree cannot ship: where it must lie, and where its vendor publishes it."""

    file: str
    source: str


Strings = Annotated[tuple[str, ...], BeforeValidator(_tuple)]
Packages = Annotated[tuple[Annotated[PackageRequest, BeforeValidator(_package)], ...], BeforeValidator(_tuple)]
Files = Annotated[tuple[FileRequest, ...], BeforeValidator(_tuple)]
Argv = Annotated[tuple[str, ...], BeforeValidator(_tuple), Field(min_length=1)]
Commands = Annotated[tuple[str | Argv, ...], BeforeValidator(_tuple)]
Requirements = Annotated[tuple[Requirement, ...], BeforeValidator(_tuple)]


class ImageKeys(_Strict):
    """What every kind of image may say under `image:`."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")
    files: Files = ()
    run: Commands = ()
    clean: Strings = ()
    requires: Requirements = ()


class InitrdKeys(ImageKeys):
    """`image:` of an initrd."""

    profile: Profile = "metal"
    kernel_package: str | None = None
    include_binaries: Strings = ()
    include_packages: Packages = ()
    modules: Strings = ()
    firmware: bool = True


class BaseKeys(ImageKeys):
    """`image:` of a base."""

    packages: Packages = ()
    debs: Strings = ()
    exclude: Strings = ()
    agent: bool = True


class OverlayKeys(ImageKeys):
    """`image:` of an overlay."""

    base: Annotated[tuple[str, ...], BeforeValidator(_one_or_many), Field(min_length=1)] = ("base",)
    packages: Packages = ()
    debs: Strings = ()
    format: OverlayFormat = "cpio.gz"


M = TypeVar("M", bound=BaseModel)


def read_keys(model: type[M], value: Any, document: Document, *above: Key) -> M:
    """Check `value`, which stands under `above` in `document`, against a model.

    Raises SpecError that points at the first wrong key and lists the others.
    """
    try:
        return model.model_validate({} if value is None else value)
    except ValidationError as error:
        problems = [_problem(model, document, above, details) for details in error.errors()]
    problems.sort(key=lambda p: p[0].line)
    (location, message), rest = problems[0], problems[1:]
    more = "".join(f"\n{place}: {text}" for place, text in rest)
    raise SpecError(message + more, location=location)


def _problem(model: type[BaseModel], document: Document, above: tuple[Key, ...], details: Any) -> tuple[Location, str]:
    # pydantic names union branches and validators inside the path; only the file's own keys lead to a line.
    keys: tuple[Key, ...] = tuple(above)
    for part in details["loc"]:
        if (*keys, part) in document.lines:
            keys = (*keys, part)
    shown = ".".join(str(k) for k in keys)
    if details["type"] == "extra_forbidden":
        return document.at(*keys), _unknown_key(model, str(keys[-1]), details["loc"])
    message = details["msg"].removeprefix("Value error, ")
    return document.at(*keys), f"`{shown}`: {message[:1].lower()}{message[1:]}"


def _unknown_key(model: type[BaseModel], key: str, loc: tuple[Key, ...]) -> str:
    known = list(_MODELS_AT.get(str(loc[0]), model).model_fields) if len(loc) > 1 else list(model.model_fields)
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    guess = f"; did you mean `{near[0]}`?" if near else f"; the keys here are {', '.join(sorted(known))}"
    return f"unknown key `{key}`{guess}"


_MODELS_AT: dict[str, type[BaseModel]] = {
    "files": FileRequest,
    "packages": PackageRequest,
    "include_packages": PackageRequest,
    "requires": Requirement,
}
