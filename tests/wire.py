"""HTTP as simulated nodes speak it: each exchange on a connection of its own, all bytes through one token bucket."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

_PIECE = 1 << 18
_HEAD_END = b"\r\n\r\n"


class Bucket:
    """Lets `rate` bytes a second through, whoever they are for, in the order in which they come."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free = 0.0

    async def take(self, count: int) -> None:
        """Wait until `count` bytes are through."""
        now = asyncio.get_running_loop().time()
        self._free = max(self._free, now) + count / self._rate
        await asyncio.sleep(self._free - now)


@dataclass
class File:
    """What a node has of a file: how much, and, where contents matter, of what."""

    hashed: bool
    size: int = 0
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, piece: memoryview) -> None:
        self.size += len(piece)
        if self.hashed:
            self._hash.update(piece)

    @property
    def sha256(self) -> str:
        return str(self._hash.hexdigest())


@dataclass
class Wire:
    """The way to a server of this machine. `moved` is how many bytes of bodies came, all nodes together.

    Bytes of files are counted, and thrown away by the kernel unless they are to be `hashed`.
    """

    port: int
    bucket: Bucket
    hashed: bool = False
    moved: int = 0

    def __post_init__(self) -> None:
        self._buffer = memoryview(bytearray(_PIECE))

    @asynccontextmanager
    async def asked(self, source: str, request: str, body: bytes = b"", **headers: str) -> AsyncIterator[Incoming]:
        """Ask (`GET /path`) from an address of loopback; the answer's head has come. Raises OSError."""
        with socket.socket() as connection:
            connection.setblocking(False)
            # What lies in the kernel for a node is a network's; a network does not hold megabytes.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 * _PIECE)
            connection.bind((source, 0))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(connection, ("127.0.0.1", self.port))
            fields = {"Host": f"127.0.0.1:{self.port}", "Connection": "close", **headers}
            if body:
                fields["Content-Length"] = str(len(body))
            lines = [f"{request} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
            await loop.sock_sendall(connection, "\r\n".join(lines).encode() + _HEAD_END + body)
            yield await self._incoming(connection)

    async def _incoming(self, connection: socket.socket) -> Incoming:
        data = b""
        while _HEAD_END not in data:
            count = await _receive(connection, self._buffer[:4096], 0)
            if not count:
                raise ConnectionResetError("no answer")
            data += self._buffer[:count]
        head, _, rest = data.partition(_HEAD_END)
        status, *lines = head.decode().split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return Incoming(self, connection, int(status.split()[1]), int(fields.get("content-length", "0")), rest)

    async def take(self, connection: socket.socket, most: int, flags: int) -> memoryview:
        """The next bytes of a body, which hold until somebody else takes some. Raises ConnectionError for no more."""
        piece = self._buffer[: min(_PIECE, most)]
        count = await _receive(connection, piece, flags)
        if not count:
            raise ConnectionResetError("half an answer")
        return piece[:count]


@dataclass
class Incoming:
    """An answer whose body is on its way: `length` bytes, of which `begun` came with the head."""

    wire: Wire
    connection: socket.socket
    status: int
    length: int
    begun: bytes

    async def body(self) -> bytes:
        """All of it."""
        data = self.begun
        while len(data) < self.length:
            data += await self.wire.take(self.connection, self.length - len(data), 0)
        await self._through(len(data))
        return data

    async def pour(self, file: File, stall: float) -> None:
        """Add it to a file. Raises TimeoutError after `stall` seconds without a byte, and ConnectionError."""
        file.add(memoryview(self.begun))
        await self._through(len(self.begun))
        left = self.length - len(self.begun)
        flags = 0 if file.hashed else socket.MSG_TRUNC
        while left:
            async with asyncio.timeout(stall):
                piece = await self.wire.take(self.connection, left, flags)
            file.add(piece)
            left -= len(piece)
            await self._through(len(piece))

    async def _through(self, count: int) -> None:
        self.wire.moved += count
        await self.wire.bucket.take(count)


async def _receive(connection: socket.socket, buffer: memoryview, flags: int) -> int:
    """How many bytes came, 0 when no more will."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return connection.recv_into(buffer, len(buffer), flags)
        except BlockingIOError:
            readable = asyncio.Event()
            loop.add_reader(connection, readable.set)
            try:
                await readable.wait()
            finally:
                loop.remove_reader(connection)
