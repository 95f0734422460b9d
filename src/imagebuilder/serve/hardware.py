"""What a node is made of, out of the JSON of inventory.sh: a few lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from imagebuilder.console import size_text

Inventory = Mapping[str, Any]


def summary(inventory: Inventory) -> list[tuple[str, str]]:
    """Rows of a kind and a text: machine, firmware, processor, memory, disks, cards, neighbours."""
    return [(kind, text) for kind, text in _rows(inventory) if text]


def _rows(inventory: Inventory) -> Iterator[tuple[str, str]]:
    dmi = _mapping(inventory.get("dmi"))
    yield "machine", _joined(dmi, "sys_vendor", "product_name")
    yield "serial", _joined(dmi, "product_serial")
    yield "firmware", _joined(dmi, "bios_vendor", "bios_version", "bios_date")
    cpu = {str(row.get("field")).rstrip(":"): row.get("data") for row in _list(_mapping(inventory.get("cpu")), "lscpu")}
    yield "processor", " x ".join(str(cpu[name]) for name in ("CPU(s)", "Model name") if cpu.get(name))
    memory = inventory.get("memory")
    yield "memory", size_text(memory) if isinstance(memory, int) else ""
    for disk in _list(_mapping(inventory.get("disks")), "blockdevices"):
        if disk.get("type") == "disk":
            size = size_text(disk["size"]) if isinstance(disk.get("size"), int) else ""
            yield (
                "disk",
                " ".join(filter(None, (str(disk.get("name")), size, _joined(disk, "model", "serial", "tran")))),
            )
    for card in _list(inventory, "cards"):
        if card.get("link_type") == "ether":
            addresses = [str(address.get("local")) for address in _list(card, "addr_info")]
            yield "card", " ".join([_joined(card, "ifname", "address", "operstate"), *addresses])
    neighbours = inventory.get("neighbours")
    for line in neighbours.splitlines() if isinstance(neighbours, str) else ():
        yield "neighbour", " ".join(line.split())


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    found = value.get(key)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _joined(value: Mapping[str, Any], *keys: str) -> str:
    words = (str(value[key]).strip() for key in keys if value.get(key))
    return "".join(letter for letter in " ".join(filter(None, words)) if letter.isprintable())
