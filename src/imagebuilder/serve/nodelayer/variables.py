"""Variables of nodes.yml: what nodes differ in, each of a type.

variables:
  hostname: hostname
  address: interface
  keys: [key]              # a list of them
  ipmi_password: secret
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from imagebuilder.errors import SpecError
from imagebuilder.serve.identity import normal_mac
from imagebuilder.spec.yamlfile import Document, Key

Scalar = str | int
Value = Scalar | tuple[Scalar, ...]

SECRET = "secret"
FACTS = "node"
"""What templates know of the node itself; no variable may be called so."""
_NAME = re.compile(r"[a-z_][a-z0-9_]*", re.IGNORECASE | re.ASCII)
# RFC 1123, 2.1.
_HOSTNAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](-*[a-z0-9])*(\.[a-z0-9](-*[a-z0-9])*)*", re.IGNORECASE | re.ASCII)
_KEY = re.compile(r"(?P<kind>(?:ssh|ecdsa|sk)-[a-z0-9@.-]+) (?P<data>[A-Za-z0-9+/]+=*)(?: [ -~]*)?")


def _hostname(value: Any) -> str:
    if not isinstance(value, str) or not _HOSTNAME.fullmatch(value) or max(map(len, value.split("."))) > 63:
        raise ValueError("is no name of a host")
    return value


def _address(value: Any) -> str:
    return _of_network(ipaddress.ip_address, value, "is no IP address, as 192.0.2.7 and 2001:db8::7 are")


def _interface(value: Any) -> str:
    if "/" not in str(value):
        raise ValueError("is no address with the length of its network's prefix, as 192.0.2.7/24 is")
    return _of_network(ipaddress.ip_interface, value, "is no address with a prefix, as 192.0.2.7/24 is")


def _network(value: Any) -> str:
    return _of_network(ipaddress.ip_network, value, "is no network, as 192.0.2.0/24 is")


def _of_network(parse: Callable[[str], object], value: Any, problem: str) -> str:
    try:
        return str(parse(value)) if isinstance(value, str) else _refused(problem)
    except ValueError:
        raise ValueError(problem) from None


def _mac(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError('is no text: write an address in quotes, "52:54:00:12:34:56"')
    return normal_mac(value)


def _key(value: Any) -> str:
    """A line of sshd's authorized_keys without options; the data begins with the key's kind (RFC 4253, 6.6)."""
    problem = "is no public key of ssh: `ssh-ed25519 AAAA... comment`, in one line"
    match = _KEY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(problem)
    try:
        data = base64.b64decode(match["data"], validate=True)
    except binascii.Error:
        raise ValueError(problem) from None
    kind = match["kind"].encode()
    return match[0] if data.startswith(len(kind).to_bytes(4, "big") + kind) else _refused(problem)


def _text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    return value if isinstance(value, str) else _refused("is no text; a number or yes/no is text in quotes")


def _number(value: Any) -> int:
    return value if type(value) is int else _refused("is no whole number")


def _flag(value: Any) -> bool:
    return value if isinstance(value, bool) else _refused("must be true or false")


def _refused(problem: str) -> Any:
    raise ValueError(problem)


TYPES: Mapping[str, Callable[[Any], Scalar]] = {
    "text": _text,
    "number": _number,
    "flag": _flag,
    "hostname": _hostname,
    "address": _address,
    "interface": _interface,
    "network": _network,
    "mac": _mac,
    "key": _key,
    SECRET: _text,
}
"""By name what a value becomes; each raises ValueError with what follows the value in a sentence."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as it is declared: its type, and whether it is a list."""

    kind: str
    many: bool = False


def read_declarations(given: Mapping[str, Any], document: Document) -> dict[str, Variable]:
    """`variables:` at the top of nodes.yml. Raises SpecError at the line of what is wrong."""
    declared = {}
    for name, value in given.items():
        location = document.at("variables", name)
        if not _NAME.fullmatch(str(name)) or name == FACTS:
            raise SpecError(
                f"a variable cannot be called `{name}`",
                location=location,
                hint=f"letters, digits and `_`; `{FACTS}` is what a template knows of the node itself",
            )
        kind = value[0] if isinstance(value, list) and len(value) == 1 else value
        if not isinstance(kind, str) or kind not in TYPES:
            raise SpecError(
                f"`{name}` has the type `{value}`, which is none",
                location=location,
                hint=f"the types are {', '.join(TYPES)}; [key] is a list of keys",
            )
        declared[name] = Variable(kind, isinstance(value, list))
    return declared


def read_values(
    given: Mapping[str, Any], declared: Mapping[str, Variable], document: Document, *above: Key
) -> tuple[tuple[str, Value], ...]:
    """Values of declared variables, which stand under `above`. Raises SpecError at the line of what is wrong."""
    values = []
    for name, value in given.items():
        location = document.at(*above, name)
        if name not in declared:
            hint = f"it has {', '.join(declared)}" if declared else "variables:\n    hostname: hostname"
            raise SpecError(
                f"`variables:` at the top does not say of what type `{name}` is", location=location, hint=hint
            )
        try:
            values.append((name, _typed(declared[name], value)))
        except ValueError as error:
            raise SpecError(f"`{name}`: {error}", location=location) from None
    return tuple(values)


def _typed(variable: Variable, value: Any) -> Value:
    if variable.many:
        if not isinstance(value, list):
            raise ValueError("must be a list")
        return tuple(_one(variable.kind, part) for part in value)
    return _one(variable.kind, value)


def _one(kind: str, value: Any) -> Scalar:
    try:
        return TYPES[kind](value)
    except ValueError as error:
        shown = "what is given" if kind == SECRET else f"`{str(value)[:60]}`"
        problem = str(error)
        raise ValueError(problem if problem.startswith("`") else f"{shown} {problem}") from None
