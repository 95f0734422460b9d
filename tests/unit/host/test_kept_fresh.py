"""Something that several builds use at once is refreshed by one of them, and never under another's feet."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from imagebuilder.host import files
from imagebuilder.host.files import kept_fresh


class Thing:
    """What is refreshed, and how often it was."""

    def __init__(self, lock: Path) -> None:
        self.lock = lock
        self.refreshed = 0

    def refresh(self) -> None:
        self.refreshed += 1

    def use(self) -> int:
        """Use it for a moment; returns how often it was refreshed until then."""
        with kept_fresh(self.lock, self.refresh):
            return self.refreshed


@pytest.fixture
def thing(tmp_path: Path) -> Thing:
    return Thing(tmp_path / "lock")


def test_each_user_refreshes_when_nobody_else_is_there(thing: Thing) -> None:
    assert [thing.use(), thing.use()] == [1, 2]


def test_who_comes_while_others_use_it_takes_it_as_it_is(thing: Thing) -> None:
    with kept_fresh(thing.lock, thing.refresh):
        assert [thing.use(), thing.use()] == [1, 1]


def test_who_comes_while_it_is_refreshed_waits_for_that(thing: Thing) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(10)
        thing.refresh()

    def first() -> None:
        with kept_fresh(thing.lock, slow):
            pass

    with ThreadPoolExecutor() as pool:
        done = pool.submit(first)
        assert begun.wait(10)
        second = pool.submit(thing.use)
        assert not _ends(second)
        go_on.set()
        done.result()
        assert second.result() >= 1


def test_after_a_refresh_that_failed_the_next_tries_again(thing: Thing) -> None:
    def fail() -> None:
        raise OSError("no mirror")

    assert thing.use() == 1
    with pytest.raises(OSError, match="no mirror"), kept_fresh(thing.lock, fail):
        pass
    assert thing.use() == 2


def test_what_is_old_is_refreshed_as_soon_as_nobody_uses_it(thing: Thing, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor() as pool:
        with kept_fresh(thing.lock, thing.refresh):
            monkeypatch.setattr(files, "_FRESH_SECONDS", 0)
            second = pool.submit(thing.use)
            assert not _ends(second)
            assert thing.refreshed == 1
        assert second.result(10) == 2


def _ends(future: Future[int]) -> bool:
    try:
        future.result(0.2)
    except TimeoutError:
        return False
    return True
