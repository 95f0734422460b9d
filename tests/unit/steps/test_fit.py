"""Whether overlays go with layers that they were not made on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagebuilder.steps.fit import Finding, Fit
from imagebuilder.steps.fitting import check
from imagebuilder.steps.footing import Footing, footing_of
from imagebuilder.steps.view import View, view_of
from layers import layer, stanza, status

FILES: dict[str, str | None] = {"/etc/motd": "a", "/etc/gone": "g", "/opt/x": "x", "/etc/kept": "k"}
OVERLAY: dict[str, str | None] = {"/etc/motd": "mine", "/etc/gone": None, "/new": "n", "/var/lib/dpkg/status": ""}
BASES: tuple[tuple[str, dict[str, str | None], dict[str, str]], ...] = (
    ("the same base", {}, {}),
    ("other files changed", {"/opt/x": "other", "/etc/kept": "other", "/more": "m"}, {}),
    ("a replaced file changed", {"/etc/motd": "b"}, {"/etc/motd": "changed below: content"}),
    ("a replaced file became what it is in the overlay", {"/etc/motd": "mine"}, {}),
    ("a replaced file is gone", {"/etc/motd": None}, {"/etc/motd": "is no longer below"}),
    ("a deleted file changed", {"/etc/gone": "other"}, {"/etc/gone": "changed below: content"}),
    (
        "a deleted file is gone",
        {"/etc/gone": None},
        {"/etc/gone": "is deleted by the overlay and no longer below"},
    ),
    ("a file came where the overlay has one", {"/new": "other"}, {"/new": "is new below"}),
    ("the same file came where the overlay has one", {"/new": "n"}, {}),
)


def _view(files: dict[str, str | None], packages: str) -> View:
    found = {"/var/lib/dpkg/status": packages, **files}
    return view_of(layer({path: text for path, text in found.items() if text is not None}))


@pytest.mark.parametrize(("name", "changes", "shadows"), BASES, ids=[case[0] for case in BASES])
def test_files(name: str, changes: dict[str, str | None], shadows: dict[str, str]) -> None:
    packages = status(libc6="1")
    upper = view_of(layer(OVERLAY | {"/var/lib/dpkg/status": packages}))
    footing = footing_of((), upper, _view(FILES, packages))
    found = check(footing, upper, _view(FILES | changes, packages))
    assert {finding.name: finding.text for finding in found.shadows} == shadows
    assert (found.fits, found.conflicts) == (not shadows, ())


def test_folder_whose_mode_changed_is_shadowed() -> None:
    below, upper = _view(FILES, ""), view_of(layer({"/etc/mine": "m"}))
    now = replace(below, paths={**below.paths, "/etc": "folder 0700 0:0"})
    found = check(footing_of((), upper, below), upper, now)
    assert found.shadows == (Finding("/etc", "changed below: mode 0755 -> 0700"),)


def test_old_copy_of_a_database_is_told_apart() -> None:
    upper = view_of(layer({"/var/lib/dpkg/status": status(libc6="1", tool="1")}))
    footing = footing_of((), upper, _view({}, status(libc6="1")))
    found = check(footing, upper, _view({}, status(libc6="2")))
    assert (found.verdict, [finding.name for finding in found.databases]) == ("fits", ["/var/lib/dpkg/status"])


BEFORE = {"libc6": "1", "sed": "1", "bash": "1"}
AFTER = {"libc6": "1", "sed": "2", "tool": "1"}
"""Of an overlay that replaces sed, removes bash and brings tool."""
PACKAGES: tuple[tuple[str, dict[str, str], dict[str, str]], ...] = (
    ("another package is newer", BEFORE | {"libc6": "2"}, {}),
    ("another package is gone", {"sed": "1", "bash": "1"}, {}),
    ("what it brings is there in that version", BEFORE | {"tool": "1"}, {}),
    ("all that it did was done below", AFTER, {}),
    (
        "what it brings is there in another version",
        BEFORE | {"tool": "3"},
        {"tool": "is version 3 below, not there when the overlay was made, which brings 1"},
    ),
    (
        "what it replaces is newer",
        BEFORE | {"sed": "3"},
        {"sed": "is version 3 below, 1 when the overlay was made, which brings 2"},
    ),
    (
        "what it replaces is gone",
        {"libc6": "1", "bash": "1"},
        {"sed": "is gone below, 1 when the overlay was made, which brings 2"},
    ),
    (
        "what it removes is newer",
        BEFORE | {"bash": "2"},
        {"bash": "is version 2 below, 1 when the overlay was made, which removes it"},
    ),
)


@pytest.mark.parametrize(("name", "now", "conflicts"), PACKAGES, ids=[case[0] for case in PACKAGES])
def test_versions_of_packages(name: str, now: dict[str, str], conflicts: dict[str, str]) -> None:
    upper = view_of(layer({"/var/lib/dpkg/status": status(**AFTER)}))
    footing = footing_of((), upper, _view({}, status(**BEFORE)))
    found = check(footing, upper, _view({}, status(**now)))
    assert {finding.name: finding.text for finding in found.conflicts} == conflicts


RELATIONS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("what it needs is new enough", stanza("lib", "2"), stanza("tool", "1", Depends="lib (>= 1), libc6"), {}),
    (
        "what it needs is too new",
        stanza("lib", "2"),
        stanza("tool", "1", Depends="lib (<< 2)"),
        {"tool": "needs lib (<< 2)"},
    ),
    ("one of two will do", stanza("lib", "2"), stanza("tool", "1", Depends="other | lib"), {}),
    ("what it needs is gone", "", stanza("tool", "1", Depends="lib"), {"tool": "needs lib"}),
    ("a provided name counts", stanza("x", "1", Provides="lib"), stanza("tool", "1", Depends="lib"), {}),
    (
        "it must not be beside one",
        stanza("lib", "2"),
        stanza("tool", "1", Breaks="lib (>= 2)"),
        {"tool": "cannot be beside lib 2"},
    ),
    (
        "one must not be beside it",
        stanza("lib", "2", Conflicts="tool"),
        stanza("tool", "1"),
        {"lib": "cannot be beside tool 1"},
    ),
    ("what was wrong below already does not count", stanza("lib", "2", Depends="nothing"), stanza("tool", "1"), {}),
)


@pytest.mark.parametrize(("name", "base", "brings", "conflicts"), RELATIONS, ids=[case[0] for case in RELATIONS])
def test_relations_of_packages(name: str, base: str, brings: str, conflicts: dict[str, str]) -> None:
    before = status(libc6="1", lib="1")
    upper = view_of(layer({"/var/lib/dpkg/status": before + brings}))
    footing = footing_of((), upper, _view({}, before))
    found = check(footing, upper, _view({}, status(libc6="1") + base))
    assert {finding.name: finding.text for finding in found.conflicts} == conflicts


def test_versions_that_are_none_are_no_crash() -> None:
    odd = stanza("lib", "x:y:z", Provides="(=", Conflicts="?? (<< :)") + "Package: p\n\n\0\n\nStatus: a b installed\n\n"
    upper = view_of(layer({"/var/lib/dpkg/status": odd + stanza("tool", "a:1", Depends="lib (>= b:2)")}))
    below = _view({}, odd)
    assert check(footing_of((), upper, below), upper, below).verdict in ("fits", "package conflicts")


USERS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("the same users", "a:x:300\n", {}),
    ("another user", "a:x:300\nb:x:301\n", {}),
    ("the user that it brings", "a:x:300\nmine:x:400\n", {}),
    ("its id is another user's", "a:x:300\nb:x:400\n", {"user id 400": "`b` below, `mine` in the overlay"}),
    ("its user has another id", "a:x:300\nmine:x:401\n", {"user mine": "id 401 below, id 400 in the overlay"}),
)


@pytest.mark.parametrize(("name", "now", "accounts"), USERS, ids=[case[0] for case in USERS])
def test_accounts(name: str, now: str, accounts: dict[str, str]) -> None:
    before, own = _view({"/etc/passwd": "a:x:300\n"}, ""), "a:x:300\nmine:x:400\n"
    upper = view_of(layer({"/etc/passwd": own}), {"1/lines/etc/passwd": b"=mine:x:400\n"})
    found = check(footing_of((), upper, before), upper, _view({"/etc/passwd": now}, ""))
    assert {finding.name: finding.text for finding in found.accounts} == accounts
    assert found.fits == (not accounts)


VERDICTS = (
    (Fit(), "fits"),
    (Fit(shadows=(Finding("/x", "y"),)), "shadows changed files"),
    (Fit(conflicts=(Finding("x", "y"),)), "package conflicts"),
    (Fit((Finding("/x", "y"),), (Finding("x", "y"),)), "package conflicts and shadows changed files"),
    (Fit(accounts=(Finding("user a", "y"),)), "account conflicts"),
    (Fit(databases=(Finding("/x", "y"),)), "fits"),
)


@pytest.mark.parametrize(("fit", "verdict"), VERDICTS)
def test_verdict_in_words_and_as_text(fit: Fit, verdict: str) -> None:
    assert (fit.verdict, fit.fits) == (verdict, verdict == "fits")
    assert Fit.from_json(fit.to_json()) == fit


def test_footing_is_kept_as_text() -> None:
    changes = {"1/lines/etc/passwd": b"=not utf-8 \xff\n"}
    upper = view_of(layer({"/a": "x", "/var/lib/dpkg/status": status(b="1")}), changes)
    footing = footing_of(("ab" * 32,), upper, _view({"/a": "y"}, ""))
    assert Footing.from_json(footing.to_json()) == footing
    assert sorted(footing.shadows) == ["/", "/a", "/var", "/var/lib", "/var/lib/dpkg", "/var/lib/dpkg/status"]
