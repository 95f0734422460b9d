"""Two identities of a step, and the fields in which they differ, as a person would say it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagebuilder.plan.differences import differences
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.ansible import AnsibleRole
from imagebuilder.steps.base import Action, Source, identity
from imagebuilder.steps.bootstrap import Bootstrap
from imagebuilder.steps.clean import Clean
from imagebuilder.steps.commands import RunCommands
from imagebuilder.steps.files import CopyFiles, FileCopy
from imagebuilder.steps.packages import InstallPackages
from imagebuilder.steps.provision import Provision
from imagebuilder.steps.rootfs import Rootfs
from imagebuilder.steps.squashfs import Squashfs

A, B = "a" * 64, "b" * 64


def _deb(name: str, version: str = "1", sha256: str = A) -> Deb:
    return Deb(name, version, "amd64", 10, sha256)


def _install(*debs: Deb) -> InstallPackages:
    return InstallPackages(("less",), (), debs)


def _motd(text: str, mode: int | None = None) -> CopyFiles:
    return CopyFiles((FileCopy("/etc/motd", text=text, mode=mode), FileCopy("/etc/issue", text="i")))


def _role(digest: str, **variables: Any) -> AnsibleRole:
    return AnsibleRole("roles/r", {"roles/r": Source(Path("/t/roles/r"), digest)}, variables)


def _bootstrap(**fields: Any) -> Bootstrap:
    given: dict[str, Any] = {"suite": "bookworm", "architecture": "amd64", "requests": (), "debs": ()}
    return Bootstrap(Rootfs(**{**given, "excludes": (), "sources": (), "epoch": 5, **fields}))


RUN = RunCommands(("a", "b", ("c", "d")))
CHANGES: tuple[tuple[Action, Action, list[str]], ...] = (
    (RUN, RUN, []),
    (RUN, RunCommands(("a", "x", ("c", "d"))), ["run > commands: `b` -> `x`"]),
    (RUN, RunCommands(("b", ("c", "d"))), ["run > commands: `a` is gone"]),
    (RUN, RunCommands(("a", "b", "x", ("c", "d"))), ["run > commands: `x` is new"]),
    (RUN, RunCommands(("a", "b", ("c", "e"))), ["run > commands: `d` -> `e`"]),
    (
        _install(_deb("curl", "7.88.1-10"), _deb("less")),
        _install(_deb("curl", "7.88.1-11", B), _deb("less")),
        ["packages > debs > curl: `7.88.1-10` -> `7.88.1-11`"],
    ),
    (_install(_deb("curl")), _install(_deb("curl", sha256=B)), [f"packages > debs > curl: `{A[:12]}` -> `{B[:12]}`"]),
    (_install(), _install(_deb("curl", "7")), ["packages > debs > curl: `7` is new"]),
    (_install(_deb("curl", "7")), _install(), ["packages > debs > curl: `7` is gone"]),
    (_motd("one"), _motd("two"), ["files > files > /etc/motd > text: `one` -> `two`"]),
    (_motd("same\none\n"), _motd("same\ntwo\n"), ["files > files > /etc/motd > text: `one` -> `two`"]),
    (_motd("a\n"), _motd("a\nb\n"), ["files > files > /etc/motd > text: `b` is new"]),
    (_motd("one"), _motd("one", 0o600), ["files > files > /etc/motd > mode: `nothing` -> `384`"]),
    (_role(A), _role(B), [f"ansible > sources > roles/r: `{A[:12]}` -> `{B[:12]}`"]),
    (_role(A, x=1), _role(A, y=[2]), ["ansible > variables > x: `1` is gone", "ansible > variables > y: `[2]` is new"]),
    (
        Clean(("/a", "/b")),
        Clean(("/b", "/a")),
        ["clean > paths: `/b` is new", "clean > paths: `/b` is gone"],
    ),
)


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES)
def test_change_of_an_action_is_told_by_its_place_and_its_values(
    before: Action, after: Action, expected: list[str]
) -> None:
    two = (identity(Provision((action,))) for action in (before, after))
    assert list(map(str, differences(*two))) == expected


def test_actions_of_one_kind_are_told_apart_and_their_order_counts() -> None:
    first, second = RunCommands(("a",)), RunCommands(("b",))
    plan = [identity(Provision(actions)) for actions in ((first, second), (first,), (RUN, first), (first, Clean(())))]
    assert [str(change) for change in differences(plan[0], plan[1])] == [
        'run #2: `{"kind": "run", "version": 1, "commands": ["b"]}` is gone'
    ]
    swapped = [identity(Provision(actions)) for actions in ((first, Clean(())), (Clean(()), first))]
    assert [str(change) for change in differences(*swapped)] == ["actions: `run, clean` -> `clean, run`"]


def test_change_of_a_step_of_its_own_is_told() -> None:
    assert [str(c) for c in differences(identity(Squashfs(5)), identity(Squashfs(6, level=19)))] == [
        "epoch: `5` -> `6`",
        "level: `13` -> `19`",
    ]
    before, after = _bootstrap(debs=(_deb("apt"),)), _bootstrap(suite="trixie", debs=(_deb("apt", "2"),))
    assert [str(c) for c in differences(identity(before), identity(after))] == [
        "rootfs > suite: `bookworm` -> `trixie`",
        "rootfs > debs > apt: `1` -> `2`",
    ]


def test_values_are_short() -> None:
    long = "x" * 100
    (change,) = differences({"text": long}, {"text": f"y{long}\nmore"})
    assert change.before == f"{'x' * 60} ..."
    assert change.after == f"y{'x' * 59} ..."


def test_other_kind_of_value_is_a_change_of_the_whole() -> None:
    assert [str(c) for c in differences({"a": [1]}, {"a": {"b": 1}})] == ['a: `[1]` -> `{"b": 1}`']
