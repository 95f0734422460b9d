"""How much of the files under way has arrived, without a word from nodes: the kernel counts what they acknowledge.

Of a node only its address is known here; who is behind it, the overview says.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

_ACKNOWLEDGED = 120
"""Where struct tcp_info (linux/tcp.h) has tcpi_bytes_acked, a 64-bit number."""
_MOST_ADDRESSES = 20_000


@dataclass(slots=True)
class _Transfer:
    sha256: str
    first: int
    count: int
    transport: asyncio.Transport
    before: int

    @property
    def arrived(self) -> int:
        """Bytes, as far as the node has acknowledged them."""
        return max(0, min(self.count, _acknowledged(self.transport) - self.before))


@dataclass(slots=True)
class _Client:
    """What an address has of each blob, and its transfers that are under way."""

    arrived: dict[str, int] = field(default_factory=dict)
    running: list[_Transfer] = field(default_factory=list)


class Transfers:
    """Blobs on their way, by address."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}

    def forget(self, address: str) -> None:
        """A node there begins anew."""
        client = self._clients.get(address)
        if client:
            client.arrived.clear()

    @contextmanager
    def running(self, request: web.Request, sha256: str, first: int, count: int) -> Iterator[None]:
        """A blob is sent, `count` bytes from `first` on, as long as the block lasts."""
        address, transport = request.remote or "", request.transport
        if not (sha256 and address and transport):
            yield
            return
        client = self._client(address)
        transfer = _Transfer(sha256, first, count, transport, _acknowledged(transport))
        client.running.append(transfer)
        try:
            yield
        except BaseException:
            client.running.remove(transfer)
            self._note(client, transfer, transfer.arrived)
            raise
        client.running.remove(transfer)
        self._note(client, transfer, count)

    def busy(self) -> list[str]:
        """The addresses to which something is under way."""
        return [address for address, client in self._clients.items() if client.running]

    def arrived(self, address: str) -> dict[str, int]:
        """Bytes of each blob that have arrived at an address since it began."""
        client = self._clients.get(address)
        if client is None:
            return {}
        for transfer in client.running:
            self._note(client, transfer, transfer.arrived)
        return dict(client.arrived)

    def _note(self, client: _Client, transfer: _Transfer, count: int) -> None:
        known = client.arrived.get(transfer.sha256, 0)
        client.arrived[transfer.sha256] = max(known, transfer.first + count)

    def _client(self, address: str) -> _Client:
        client = self._clients.pop(address, None) or _Client()
        self._clients[address] = client  # the last one to have asked
        while len(self._clients) > _MOST_ADDRESSES:
            del self._clients[next(iter(self._clients))]
        return client


TRANSFERS = web.AppKey("transfers", Transfers)
"""Where an application has them."""


def _acknowledged(transport: asyncio.Transport) -> int:
    """Bytes that the other side has acknowledged since it connected; 0 when nobody knows."""
    connection = transport.get_extra_info("socket")
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED + 8)
        (acknowledged,) = struct.unpack_from("Q", info, _ACKNOWLEDGED)
    except (OSError, AttributeError, struct.error):
        return 0
    return int(acknowledged)
