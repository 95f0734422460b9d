"""Sockets, limits and a graceful stop.

Who connects and says nothing, or says it a byte at a time, is cut off after `head_seconds`; who does not take
what was sent, after `stall_seconds`, by the kernel. A node that was cut off goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from imagebuilder.errors import ImagebuilderError, UserError

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """How long we wait for a request's head, for who does not take what we send, and for transfers at the end."""

    head_seconds: float = 15
    stall_seconds: float = 60
    stop_seconds: float = 10
    line_bytes: int = 8190
    header_lines: int = 64


@dataclass(frozen=True, slots=True)
class Listen:
    """Addresses of this machine to listen at, and the port (0: any that is free)."""

    addresses: tuple[str, ...]
    port: int
    limits: Limits = Limits()


def run(app: web.Application, listen: Listen, ready: Callable[[list[str]], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second one does not wait for transfers.

    `ready` gets the URLs when the first connection can come. Raises UserError for addresses that cannot be had.
    """
    sockets = [_socket(address, listen) for address in listen.addresses]
    _allow_many_connections()
    asyncio.run(_serve(app, sockets, listen.limits, ready))


async def _serve(
    app: web.Application, sockets: list[socket.socket], limits: Limits, ready: Callable[[list[str]], None]
) -> None:
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=limits.head_seconds,
        max_line_size=limits.line_bytes,
        max_field_size=limits.line_bytes,
        max_headers=limits.header_lines,
        auto_decompress=False,
        shutdown_timeout=limits.stop_seconds,
    )
    await runner.setup()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    for listening in sockets:
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
    ready([_url(listening) for listening in sockets])
    await stopped.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
    await runner.cleanup()


def _socket(address: str, listen: Listen) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, listen.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise _refused(address, listen.port, error) from None
    # Connections inherit it. It also counts the time in which a peer takes nothing (tcp(7)).
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(listen.limits.stall_seconds * 1000))
    return listening


def _refused(address: str, port: int, error: OSError) -> ImagebuilderError:
    where = f"port {port} of {address}"
    if error.errno == errno.EADDRINUSE:
        return UserError(f"{where} is taken", hint="`ss -tlnp` says by whom; `--port N` takes another one")
    if error.errno == errno.EACCES:
        return UserError(f"{where} is root's to take", hint="`--port N` with a number from 1024 on, or run as root")
    return UserError(
        f"cannot listen at {where}: {os.strerror(error.errno or 0)}", hint="`--bind` takes an address of this machine"
    )


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _allow_many_connections() -> None:
    """As many open files as we may have: one a connection, one a transfer."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
