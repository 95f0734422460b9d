"""What can be installed without apt, and what cannot: decided without touching anything."""

from __future__ import annotations

from typing import Any

import pytest

from imagebuilder.steps.dpkg_database import Conffile, Fields
from imagebuilder.steps.obstacles import Candidate, Surroundings, is_idle, obstacles, rounds


def _new(name: str = "new", preinst: str = "", conffile: Conffile | None = None, **fields: str) -> Candidate:
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    all_fields = {"Package": name, "Version": "2", "Architecture": "amd64", **given}
    return Candidate(all_fields, preinst, (conffile,) if conffile else (), frozenset({f"/usr/bin/{name}"}))


def _old(name: str = "old", state: str = "installed", **fields: str) -> Fields:
    return {"Package": name, "Version": "2", "Architecture": "amd64", "Status": f"install ok {state}", **fields}


def _reasons(*new: Candidate, old: tuple[Fields, ...] = (_old(),), **around: Any) -> list[str]:
    return obstacles(new, Surroundings("amd64", {fields["Package"]: fields for fields in old}, **around))


@pytest.mark.parametrize(
    "new",
    [
        _new(),
        _new(Architecture="all"),
        _new(Depends="old (>= 2), missing | old"),
        _new(Replaces="old (<< 2)", Breaks="old (<< 2)", Conflicts="gone"),
        _new(Provides="virtual", Conflicts="virtual", Replaces="virtual"),  # one of a kind at a time
        _new(conffile=Conffile("/etc/new")),
        _new(conffile=Conffile("/etc/gone", "remove-on-upgrade")),
        _new(preinst="dpkg-statoverride --list /usr/bin/new || true"),
    ],
)
def test_what_only_adds_to_a_root_can_be_installed(new: Candidate) -> None:
    assert _reasons(new) == []


@pytest.mark.parametrize(
    ("new", "old", "reason"),
    [
        (_new(Architecture="i386"), _old(), "is of the architecture i386"),
        (_new("old"), _old(), "is known to dpkg in version 2"),
        (_new("old"), _old(state="config-files"), "is known to dpkg in version 2"),
        (_new(Depends="old"), _old(state="config-files"), "needs old"),
        (_new(Depends="old (>= 3) | gone"), _old(), "needs old | gone"),
        (_new(Replaces="old"), _old(), "may take files of old"),
        (_new(Breaks="old (<= 2)"), _old(), "cannot be beside old"),
        (_new(Conflicts="virtual"), _old(Provides="virtual"), "cannot be beside old"),
        (_new(), _old(Conflicts="new"), "cannot be beside old"),
        (_new(Provides="virtual"), _old(Breaks="virtual"), "cannot be beside old"),
        (_new(conffile=Conffile("/etc/there")), _old(), "has the conffile /etc/there, which is there"),
        (_new(conffile=Conffile("/etc/x", "odd")), _old(), "has a conffile with a flag, `odd /etc/x`"),
        (_new("sudo"), _old(), "has /usr/bin/sudo, whose owner dpkg-statoverride sets"),
        (_new(preinst="dpkg-statoverride --add root x 2755 /x"), _old(), "sets owners with dpkg-statoverride"),
    ],
)
def test_what_changes_something_needs_apt(new: Candidate, old: Fields, reason: str) -> None:
    (said,) = _reasons(new, old=(old,), existing={"/etc/there"}, overridden={"/usr/bin/sudo"})
    assert said.startswith(f"`{new.fields['Package']}` {reason}")


def test_packages_of_one_transaction_may_conflict_only_with_what_was_there() -> None:
    # apt has seen to it that new packages are no trouble to each other; who takes whose files must be asked.
    assert _reasons(_new("a", Breaks="b"), _new("b", Depends="a")) == []
    assert _reasons(_new("a", Replaces="b"), _new("b")) == ["`a` may take files of b"]


@pytest.mark.parametrize(
    ("script", "idle"),
    [
        ("", True),
        ("#!/bin/sh\nset -e\n# comment\n\nexit 0\n", True),
        ('#!/bin/sh\nset -e\ndpkg-maintscript-helper rm_conffile /etc/x 1.0\\~ -- "$@"\n', True),
        ('dpkg-maintscript-helper symlink_to_dir /usr/share/doc/x \\\n  y 1.0 x -- "$@"\n', True),
        ("dpkg-maintscript-helper supports rm_conffile\n", False),
        ("if [ upgrade = $1 ]; then\n rm x\nfi\n", False),
        ("exit 1\n", False),
    ],
)
def test_script_that_only_helps_upgrades_is_idle(script: str, idle: bool) -> None:
    assert is_idle(script) == idle


def test_script_that_acts_comes_after_the_files_that_its_package_needs_first() -> None:
    new = [
        _new("a", preinst="x", Pre_Depends="b"),
        _new("b", preinst="x", Pre_Depends="libc"),
        _new("libc"),
        _new("c", preinst="x"),
        _new("d", Pre_Depends="a"),
    ]
    order = [[candidate.fields["Package"] for candidate in round] for round in rounds(new)]
    assert order == [["libc", "d"], ["b", "c"], ["a"]]


def test_packages_that_need_each_other_first_are_unpacked_all_the_same() -> None:
    new = [_new("a", preinst="x", Pre_Depends="b"), _new("b", preinst="x", Pre_Depends="a")]
    assert [len(round) for round in rounds(new)] == [2]
