"""The log of events: whoever reads it gets all of it, or is told that it is too late for that."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

from imagebuilder.serve.feed import Feed


def events(text: bytes) -> list[tuple[str, Any]]:
    """The events of a stream, with their values."""
    found = [dict(line.split(": ", 1) for line in event.splitlines()) for event in text.decode().split("\n\n")[:-1]]
    return [(event["event"], json.loads(event["data"])) for event in found]


def test_reader_gets_what_came_after_its_place() -> None:
    feed = Feed()
    feed.publish("nodes", [1])
    place = feed.last
    feed.publish("nodes", [2])
    feed.publish("tasks", {"text": "one\nline"})
    assert events(feed.since(place)) == [("nodes", [2]), ("tasks", {"text": "one\nline"})]
    assert feed.since(feed.last) == b""


def test_every_event_says_where_to_go_on() -> None:
    feed = Feed()
    place = feed.last
    feed.publish("nodes", 1)
    assert f"id: {feed.last}\n".encode() in feed.since(place)


def test_log_has_a_size_and_a_slow_reader_begins_anew() -> None:
    feed = Feed(keep_bytes=5000)
    slow = feed.last
    feed.publish("nodes", "x")
    quick = feed.last
    for number in range(100):
        feed.publish("nodes", "x" * 90 + str(number))
        assert events(feed.since(quick)) == [("nodes", "x" * 90 + str(number))]
        quick = feed.last
    assert events(feed.since(slow)) == [("reset", {})]
    assert sum(map(len, feed._events)) <= 5000


def test_event_that_is_larger_than_the_log_is_told_all_the_same() -> None:
    feed = Feed(keep_bytes=10)
    place = feed.last
    feed.publish("nodes", "x" * 100)
    assert events(feed.since(place)) == [("nodes", "x" * 100)]


def test_place_of_another_run_or_of_nobody_is_no_place() -> None:
    feed = Feed()
    other = Feed()
    for place in ("", "x", other.last, f"{feed.last}9", feed.last.replace("-0", "--1"), feed.last.replace("-0", "-٣")):
        assert events(feed.since(place)) == [("reset", {})], place


def test_restart_has_everybody_begin_anew() -> None:
    feed = Feed()
    feed.publish("nodes", 1)
    place = feed.last
    feed.restart()
    assert events(feed.since(place)) == [("reset", {})]
    assert feed.since(feed.last) == b""


def test_who_waits_is_woken_by_news_and_by_the_end() -> None:
    async def watch() -> None:
        feed = Feed()
        for happens in (partial(feed.publish, "nodes", 1), feed.restart, feed.close):
            waiting = asyncio.create_task(feed.wait(10))
            await asyncio.sleep(0)
            happens()
            await asyncio.wait_for(waiting, 1)
        await feed.wait(0.01)

    asyncio.run(watch())
