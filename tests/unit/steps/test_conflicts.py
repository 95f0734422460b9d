"""Which overlays cannot be stacked, and which can though they changed the same files."""

from __future__ import annotations

import pytest

from imagebuilder.steps.conflicts import stacking_conflicts
from imagebuilder.steps.databases import changes

_Databases = dict[str, str | dict[str, str]]
BASE: _Databases = {"passwd": "root:x:0\n", "group": "adm:x:4:\n", "status": {"curl": "7"}}
_PATHS = {"passwd": "lines/etc/passwd", "group": "members/etc/group", "status": "stanzas/var/lib/dpkg/status"}


def _text(value: str | dict[str, str]) -> bytes:
    if isinstance(value, str):
        return value.encode()
    return "".join(f"Package: {n}\nArchitecture: all\nVersion: {v}\n\n" for n, v in value.items()).encode()


def _changes(below: _Databases, now: _Databases) -> dict[str, bytes]:
    return {
        f"1/{_PATHS[name]}": changes(_PATHS[name].split("/")[0], _text(below[name]), _text(text))
        for name, text in now.items()
    }


APART: tuple[tuple[str, str, str | dict[str, str], str | dict[str, str], list[str]], ...] = (
    ("two users with one id", "passwd", "root:x:0\na:x:300\n", "root:x:0\nb:x:300\n",
     ["user id `300`: `a` in one, `b` in two"]),
    ("one user with two ids", "passwd", "root:x:0\na:x:300\n", "root:x:0\na:x:301\n",
     ["user `a`: id 300 in one, id 301 in two"]),
    ("one user in both", "passwd", "root:x:0\na:x:300\n", "root:x:0\na:x:300\n", []),
    ("two users", "passwd", "root:x:0\na:x:300\n", "root:x:0\nb:x:301\n", []),
    ("an id that only one has twice", "passwd", "root:x:0\na:x:0\n", "root:x:0\nb:x:301\n", []),
    ("members of one group", "group", "adm:x:4:a\n", "adm:x:4:b\n", []),
    ("two groups with one id", "group", "adm:x:4:\na:x:300:\n", "adm:x:4:\nb:x:300:\n",
     ["group id `300`: `a` in one, `b` in two"]),
    ("two versions", "status", {"curl": "7", "lshw": "1"}, {"curl": "7", "lshw": "2"},
     ["package `lshw`: 1 in one, 2 in two"]),
    ("an upgrade and a removal", "status", {"curl": "8"}, {}, ["package `curl`: 8 in one, is gone in two"]),
    ("both remove it", "status", {}, {}, []),
    ("both upgrade it", "status", {"curl": "8"}, {"curl": "8"}, []),
    ("one upgrades, the other leaves it", "status", {"curl": "8"}, {"curl": "7", "lshw": "1"}, []),
)  # fmt: skip


@pytest.mark.parametrize(("name", "what", "one", "two", "expected"), APART, ids=[case[0] for case in APART])
def test_overlays_that_were_made_apart(
    name: str, what: str, one: str | dict[str, str], two: str | dict[str, str], expected: list[str]
) -> None:
    overlays = [("one", _changes(BASE, {what: one})), ("two", _changes(BASE, {what: two}))]
    assert [str(conflict) for conflict in stacking_conflicts(overlays)] == expected


def test_overlay_may_change_what_the_one_that_it_was_made_on_brought() -> None:
    one: _Databases = {"passwd": "root:x:0\na:x:300\n", "status": {"curl": "7", "lshw": "1"}}
    two: _Databases = {"passwd": "root:x:0\nb:x:300\n", "status": {"curl": "7", "lshw": "2"}}
    overlays = [("one", _changes(BASE, one)), ("two", _changes(one, two))]
    assert stacking_conflicts(overlays) == ()
    assert [c.kind for c in stacking_conflicts([*overlays, ("one again", _changes(BASE, one))])] == [
        "user id",
        "package",
    ]


def test_base_that_was_made_anew_is_compared_as_an_overlay_below() -> None:
    nothing: _Databases = {"passwd": "", "status": {}}
    overlay = _changes(BASE, {"passwd": "root:x:0\na:x:300\n", "status": {"curl": "8"}})
    same = _changes(nothing, {"passwd": "root:x:0\n", "status": {"curl": "7"}})
    other = _changes(nothing, {"passwd": "root:x:0\nnew:x:300\n", "status": {"curl": "7.1"}})
    assert stacking_conflicts([("base", same), ("one", overlay)]) == ()
    assert [str(conflict) for conflict in stacking_conflicts([("base", other), ("one", overlay)])] == [
        "user id `300`: `new` in base, `a` in one", "package `curl`: 7.1 in base, 8 in one"
    ]  # fmt: skip


def test_lists_of_one_overlay_are_no_conflict_of_their_own() -> None:
    merged = {"1/lines/etc/passwd": b"=a:x:300\n", "10/lines/etc/passwd": b"=a:x:302\n", "9/lines/etc/passwd": b"-a\n"}
    assert stacking_conflicts([("merged", merged)]) == ()
