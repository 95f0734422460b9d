"""An inventory as people read it, whatever a node says."""

from __future__ import annotations

from typing import Any

import pytest

from imagebuilder.serve.hardware import summary

WHOLE: dict[str, Any] = {
    "dmi": {
        "sys_vendor": "Dell Inc.",
        "product_name": "PowerEdge R740 ",
        "product_serial": "CN7",
        "bios_version": "2.1",
    },
    "cpu": {"lscpu": [{"field": "CPU(s):", "data": "40"}, {"field": "Model name:", "data": "Xeon"}]},
    "memory": 1_000_000_000,
    "disks": {"blockdevices": [{"name": "sda", "type": "disk", "size": 4_000_000, "model": "X"}, {"type": "loop"}]},
    "cards": [
        {"link_type": "loopback", "ifname": "lo"},
        {
            "link_type": "ether",
            "ifname": "eth0",
            "address": "52:54:00:00:00:01",
            "operstate": "UP",
            "addr_info": [{"local": "10.0.0.7"}],
        },
    ],
    "neighbours": "eth0  aa:bb  switch   ge-0/0/1\n",
    "lshw": None,
}


def test_summary_names_what_counts() -> None:
    assert summary(WHOLE) == [
        ("machine", "Dell Inc. PowerEdge R740"),
        ("serial", "CN7"),
        ("firmware", "2.1"),
        ("processor", "40 x Xeon"),
        ("memory", "1.0 GB"),
        ("disk", "sda 4.0 MB X"),
        ("card", "eth0 52:54:00:00:00:01 UP 10.0.0.7"),
        ("neighbour", "eth0 aa:bb switch ge-0/0/1"),
    ]


@pytest.mark.parametrize(
    "odd", [None, 1, "x", [], [1], {}, {"lscpu": 1}, {"lscpu": [1]}, {"blockdevices": [{"type": "disk"}]}]
)
def test_what_is_not_as_it_should_be_is_left_out(odd: Any) -> None:
    for key in WHOLE:
        summary({**WHOLE, key: odd})
