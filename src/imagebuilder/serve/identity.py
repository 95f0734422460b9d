"""Who asks: addresses and numbers as firmware and boot loaders write them, in one form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MAC_PATTERN = "(?:[0-9A-Fa-f]{2}[:-]){5,6}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{12}"
UUID_PATTERN = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
_MAC = re.compile(MAC_PATTERN)
_UUID = re.compile(UUID_PATTERN)
_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_LONGEST = 128


@dataclass(frozen=True, slots=True)
class Identity:
    """What a machine says of itself; "" is what it did not say. `mac` and `uuid` are in lower case."""

    mac: str = ""
    uuid: str = ""
    serial: str = ""
    vendor: str = ""
    model: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Identity:
        """Of the query of a boot script's URL. Raises ValueError for a malformed address or UUID."""
        mac, uuid = query.get("mac", ""), query.get("uuid", "")
        return cls(
            mac=normal_mac(mac) if mac else "",
            uuid=normal_uuid(uuid) if uuid else "",
            serial=_plain(query.get("serial", "")),
            vendor=_plain(query.get("vendor", "")),
            model=_plain(query.get("model", "")),
        )

    def __str__(self) -> str:
        return self.mac or self.uuid or self.serial or "a node that does not say who it is"


def normal_mac(text: str) -> str:
    """`52:54:00:12:34:56` for it with hyphens, capitals, without separators, or a hardware type in front (`01-`).

    Raises ValueError for what is no address.
    """
    if not _MAC.fullmatch(text):
        raise ValueError(f"`{_plain(text)}` is no MAC address")
    digits = re.sub("[:-]", "", text.lower())[-12:]
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def normal_uuid(text: str) -> str:
    """A UUID in lower case. Raises ValueError for what is none."""
    if not _UUID.fullmatch(text):
        raise ValueError(f"`{_plain(text)}` is no UUID")
    return text.lower()


def normal_server(text: str) -> str:
    """HOST:PORT for a Host header, whose port is 80 if it does not say one. Raises ValueError."""
    if not _HOST.fullmatch(text):
        raise ValueError(f"`{_plain(text)}` is no HOST:PORT")
    return text if re.search(r":[0-9]+$", text) and not text.endswith("]") else f"{text}:80"


def _plain(text: str) -> str:
    """What a machine says of itself, fit to be shown: no control characters, not endless."""
    return "".join(letter for letter in text if letter.isprintable()).strip()[:_LONGEST]
