"""What browsers hear as it happens, as server-sent events: one log of the last events that all of them read.

Nobody has a queue. Who reads slowly keeps a place in the log, and when that has gone is told to begin anew: so a
browser costs a number, however slow it is. An id is EPOCH-NUMBER; those of another run of the server are unknown.

Source: html.spec.whatwg.org, 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from imagebuilder.host.tokens import new_token

KEEP_BYTES = 4_000_000
RESET = "reset"
"""The event that says: what you know is old, ask for all of it again."""


class Feed:
    """The log. All of it belongs to the event loop."""

    def __init__(self, keep_bytes: int = KEEP_BYTES) -> None:
        """Keep events of so many bytes, at least the last one."""
        self.is_closed = False
        self._keep = keep_bytes
        self._epoch = new_token()[:8]
        self._events: deque[bytes] = deque()
        self._size = 0
        self._last = 0
        self._news = asyncio.Event()

    @property
    def last(self) -> str:
        """The id of the last event."""
        return f"{self._epoch}-{self._last}"

    def publish(self, event: str, value: Any) -> None:
        """Add an event for everybody."""
        self._last += 1
        written = _written(event, self.last, value)
        self._events.append(written)
        self._size += len(written)
        while self._size > self._keep and len(self._events) > 1:
            self._size -= len(self._events.popleft())
        self._wake()

    def restart(self) -> None:
        """Have everybody begin anew: something has happened that is not in the log."""
        self._events.clear()
        self._size = 0
        self._last += 1
        self._wake()

    def close(self) -> None:
        """Let all readers end."""
        self.is_closed = True
        self._wake()

    def since(self, event_id: str) -> bytes:
        """What has happened since an event; RESET when nobody knows any more."""
        epoch, _, number = event_id.partition("-")
        known = epoch == self._epoch and number.isascii() and number.isdigit()
        missing = self._last - int(number[:15]) if known else -1
        if not 0 <= missing <= len(self._events):
            return _written(RESET, self.last, {})
        return b"".join(list(self._events)[len(self._events) - missing :]) if missing else b""

    async def wait(self, seconds: float) -> None:
        """Until there is news, but not longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _written(event: str, event_id: str, value: Any) -> bytes:
    """An event as it travels. JSON has no line ends of its own, so it is one line."""
    return f"id: {event_id}\nevent: {event}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
