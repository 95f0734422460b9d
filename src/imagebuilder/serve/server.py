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
import ssl
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
class Tls:
    """HTTPS beside HTTP, at a port of its own: firmware, boot loaders and initrds speak HTTP."""

    context: ssl.SSLContext
    port: int


@dataclass(frozen=True, slots=True)
class Listen:
    """Addresses of this machine to listen at, and the port (0: any that is free)."""

    addresses: tuple[str, ...]
    port: int
    limits: Limits = Limits()
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class _Site:
    """A socket, and how to speak there."""

    listening: socket.socket
    context: ssl.SSLContext | None

    @property
    def url(self) -> str:
        """Its root."""
        host, port = self.listening.getsockname()[:2]
        scheme = "https" if self.context else "http"
        return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def run(app: web.Application, listen: Listen, ready: Callable[[list[str]], None]) -> None:
    """Serve until SIGINT or SIGTERM; a second one does not wait for transfers.

    `ready` gets the URLs when the first connection can come. Raises UserError for addresses that cannot be had.
    """
    sites = [_Site(_socket(address, listen.port, listen.limits), None) for address in listen.addresses]
    if tls := listen.tls:
        sites += [_Site(_socket(address, tls.port, listen.limits), tls.context) for address in listen.addresses]
    _allow_many_connections()
    asyncio.run(_serve(app, sites, listen.limits, ready))


async def _serve(app: web.Application, sites: list[_Site], limits: Limits, ready: Callable[[list[str]], None]) -> None:
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
    for site in sites:
        await web.SockSite(runner, site.listening, ssl_context=site.context, backlog=_BACKLOG).start()
    ready([site.url for site in sites])
    await stopped.wait()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
    await runner.cleanup()


def _socket(address: str, port: int, limits: Limits) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise _refused(address, port, error) from None
    # Connections inherit it. It also counts the time in which a peer takes nothing (tcp(7)).
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limits.stall_seconds * 1000))
    return listening


def _refused(address: str, port: int, error: OSError) -> ImagebuilderError:
    where = f"port {port} of {address}"
    if error.errno == errno.EADDRINUSE:
        return UserError(
            f"{where} is taken", hint="`ss -tlnp` says by whom; `--port N`, `--tls-port N` take another one"
        )
    if error.errno == errno.EACCES:
        return UserError(f"{where} is root's to take", hint="`--port N` with a number from 1024 on, or run as root")
    return UserError(
        f"cannot listen at {where}: {os.strerror(error.errno or 0)}", hint="`--bind` takes an address of this machine"
    )


def _allow_many_connections() -> None:
    """As many open files as we may have: one a connection, one a transfer."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
