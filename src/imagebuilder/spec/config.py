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
# apt takes a `*` in a version.
_PACKAGE_NAME = r"[a-z0-9][a-z0-9+.-]+(?::[a-z0-9]+)?"
_PACKAGE = re.compile(rf"(?P<name>{_PACKAGE_NAME})(?:=(?P<version>[A-Za-z0-9.+~:*-]+))?")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else _tuple(value)


def _text(value: Any) -> Any:
    # A whole number reads as it was written; 1.10 and yes do not.
    return str(value) if type(value) is int else value


def _package(value: Any) -> Any:
    if isinstance(value, str):
        match = _PACKAGE.fullmatch(value)
        if not match:
            raise ValueError(f"`{value}` is not a package; write `name` or `name=version`")
        return {"package": match["name"], "version": match["version"]}
    return value


def _command(value: Any) -> Any:
    if isinstance(value, list) and value and value[0] and all(type(word) in (str, int) for word in value):
        return tuple(map(str, value))
    if isinstance(value, str) and value.strip():
        return value
    raise ValueError("write a command as text, `systemctl enable ssh`, or as a list, `[systemctl, enable, ssh]`")


def _mode(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"0?[0-7]{3,4}", value):
        raise ValueError(f'`{value}` is not a file mode; write it in quotes: "0644"')
    return int(value, 8)


def _path(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"!?/.*", value, re.DOTALL):
        raise ValueError(f"`{value}` must begin with `/`: it is a path in the image")
    if isinstance(value, str) and ".." in value.split("/"):
        raise ValueError(f"`{value}` must not contain `..`")
    return value


LISTED = BeforeValidator(_tuple)
Text = Annotated[str, BeforeValidator(_text)]
ImagePath = Annotated[str, BeforeValidator(_path)]
Mode = Annotated[int, BeforeValidator(_mode)]


class PackageRequest(_Strict):
    """A package, and the exact version when it is pinned."""

    package: str = Field(pattern=f"^{_PACKAGE_NAME}$")
    version: Text | None = None

    def __str__(self) -> str:
        return f"{self.package}={self.version}" if self.version else self.package


class FileRequest(_Strict):
    """A file or folder of the tree (or a literal text) and its place in the image."""

    dest: ImagePath
    src: str | None = None
    content: Text | None = None
    template: bool = False
    mode: Mode | None = None
    owner: Text = "root"
    group: Text = "root"

    @model_validator(mode="after")
    def _one_origin(self) -> FileRequest:
        if (self.src is None) == (self.content is None):
            raise ValueError("give either `src` or `content`")
        if self.template and self.src is None:
            raise ValueError("`template` goes with `src`; `content` is rendered anyway")
        if self.content is not None and self.dest.endswith("/"):
            raise ValueError("`dest` must name a file, not a folder")
        return self


class Requirement(_Strict):
    """A file that the tree cannot ship: where it must lie, and where its vendor publishes it."""

    file: str
    source: str


Strings = Annotated[tuple[str, ...], LISTED]
Packages = Annotated[tuple[Annotated[PackageRequest, BeforeValidator(_package)], ...], LISTED]
Files = Annotated[tuple[FileRequest, ...], LISTED]
Commands = Annotated[tuple[Annotated[str | tuple[str, ...], BeforeValidator(_command)], ...], LISTED]
Patterns = Annotated[tuple[Annotated[ImagePath, Field(min_length=2)], ...], LISTED]
Requirements = Annotated[tuple[Requirement, ...], LISTED]


class ImageKeys(_Strict):
    """What every kind of image may say under `image:`."""

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")
    files: Files = ()
    run: Commands = ()
    clean: Patterns = ()
    requires: Requirements = ()


class InitrdKeys(ImageKeys):
    """`image:` of an initrd."""

    profile: Profile = "metal"
    kernel_package: str | None = None
    include_binaries: Strings = ()
    include_packages: Packages = ()
    modules: Strings = ()
    firmware: bool = True
    tls: bool = False
    verity: bool = False


class BaseKeys(ImageKeys):
    """`image:` of a base."""

    packages: Packages = ()
    debs: Strings = ()
    exclude: Patterns = ()
    agent: bool = True
    node_layer: bool = False
    verity: bool = False


class OverlayKeys(ImageKeys):
    """`image:` of an overlay."""

    base: Annotated[tuple[str, ...], BeforeValidator(_one_or_many), Field(min_length=1)] = ("base",)
    packages: Packages = ()
    debs: Strings = ()
    format: OverlayFormat = "cpio.gz"
    strict_portable: bool = False
    node_layer: bool = False

    @model_validator(mode="after")
    def _unpacked_since_2015(self) -> OverlayKeys:
        if self.strict_portable and self.format != "cpio.gz":
            raise ValueError(f"only `cpio.gz` is portable, `format: {self.format}` is not")
        return self


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
    loc: tuple[Key, ...] = details["loc"]
    location = document.at(*above, *loc)
    if details["type"] == "extra_forbidden":
        return location, _unknown_key(model, loc)
    message = _MESSAGES.get(details["type"]) or details["msg"].removeprefix("Value error, ")
    if details["type"] == "string_pattern_mismatch":
        message = f"`{details['input']}` does not match {details['ctx']['pattern']}"
    return location, f"`{'.'.join(map(str, (*above, *loc)))}`: {message[:1].lower()}{message[1:]}"


def _unknown_key(model: type[BaseModel], loc: tuple[Key, ...]) -> str:
    known = list((_MODELS_AT[str(loc[0])] if len(loc) > 1 else model).model_fields)
    near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
    guess = f"; did you mean `{near[0]}`?" if near else f"; the keys here are {', '.join(sorted(known))}"
    return f"unknown key `{loc[-1]}`{guess}"


_MODELS_AT: dict[str, type[BaseModel]] = {
    "files": FileRequest,
    "packages": PackageRequest,
    "include_packages": PackageRequest,
    "requires": Requirement,
}
_MESSAGES = {
    "missing": "is missing",
    "tuple_type": "must be a list",
    "string_type": "must be text; a number or yes/no is text in quotes",
    "bool_type": "must be true or false",
    "model_type": "must be a mapping",
}
"""By pydantic's name of a fault what YAML's writer calls it."""
