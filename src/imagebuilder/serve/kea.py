"""Kea in the place of dnsmasq, for those who run one: nodes are told the same by it."""

from __future__ import annotations

from pathlib import Path
from string import Template

from imagebuilder.errors import UserError
from imagebuilder.serve.dnsmasq import Pxe

_TEMPLATE = Path(__file__).parent / "templates/kea-dhcp4.conf"


def configuration(pxe: Pxe) -> str:
    """The configuration of kea-dhcp4. Raises UserError for a proxy, which Kea cannot be."""
    if pxe.proxy:
        raise UserError("Kea leaves no addresses to another server", hint="`--print-dnsmasq` with `--pxe-proxy` does")
    network = pxe.network
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        interface=network.interface,
        own=network.own.ip,
        network=network.own.network,
        first=network.first,
        last=network.last,
        server=pxe.server,
        ipxe=pxe.ipxe,
    )
