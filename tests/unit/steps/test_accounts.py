"""Ids by name: the same in every overlay, whatever else it installs."""

from __future__ import annotations

from imagebuilder.steps.accounts import Accounts, stable_ids

BASE = Accounts({"root": 0, "sshd": 100, "me": 1000}, {"root": 0, "ssh": 101})


def _with(users: dict[str, int], groups: dict[str, int]) -> Accounts:
    return Accounts({**BASE.users, **users}, {**BASE.groups, **groups})


def test_account_has_the_same_id_whatever_came_before_it() -> None:
    alone = stable_ids(BASE, _with({"_lldpd": 101}, {"_lldpd": 102}))
    later = stable_ids(BASE, _with({"tcpdump": 101, "_lldpd": 102}, {"tcpdump": 102, "_lldpd": 103}))
    assert alone == {"_lldpd": later["_lldpd"]}
    assert later["tcpdump"] != later["_lldpd"]
    assert set(later.values()) <= set(range(200, 900))


def test_what_was_there_and_what_was_chosen_stays() -> None:
    assert stable_ids(BASE, _with({"nobody2": 50, "bob": 1001, "sshd": 300}, {})) == {}


def test_id_that_is_taken_is_not_given_again() -> None:
    (wanted,) = stable_ids(BASE, _with({"new": 101}, {})).values()
    before = _with({"other": wanted}, {})
    assert stable_ids(before, Accounts({**before.users, "new": 101}, before.groups)) == {"new": wanted + 1}
