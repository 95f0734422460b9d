"""Overlays that were made apart are one system on the node: accounts, packages, libraries, units."""

from __future__ import annotations

import pytest

from imagebuilder.boot.session import Outcome
from nodes import facts

pytestmark = pytest.mark.boot

EXPECTED = {
    "users": "alice bob tcpdump _rpc",
    "shadow": "alice bob tcpdump _rpc",
    "adm": "alice,bob",
    "ids": "",
    "packages": "iputils-ping:ii rpcbind:ii tcpdump:ii",
    "audit": "",
    "automatic": "libpcap0.8 libwrap0",
    "enabled": "enabled enabled",
    "homes": "alice:alice bob:bob",
    "failed": "",
    "listens": "active",
    "sidecar": "",
}


def test_accounts_packages_and_units_of_both_overlays_are_there(stacked: Outcome) -> None:
    found = facts(stacked.task)
    assert {name: found[name] for name in EXPECTED} == EXPECTED


def test_capability_arrives_and_works_for_an_ordinary_user(stacked: Outcome) -> None:
    assert facts(stacked.task)["ping"] == "/usr/bin/ping cap_net_raw=ep answered"


def test_package_of_the_base_that_an_overlay_removes_is_gone(stacked: Outcome) -> None:
    found = facts(stacked.task)
    assert (found["vim"], found["removed"]) == ("", "un")


def test_folder_of_the_base_is_a_symlink_now(stacked: Outcome) -> None:
    assert facts(stacked.task)["skel"] == "/srv/skel"


def test_an_overlay_hides_what_those_below_it_brought(stacked: Outcome) -> None:
    found = facts(stacked.task)
    assert (found["hidden"], found["replaced"]) == ("No such file", "new")


def test_cache_of_libraries_is_of_this_very_stack(stacked: Outcome) -> None:
    assert facts(stacked.task)["libraries"] == "/opt/one/libz.so.1"


def test_node_stacks_as_the_build_did(stacked: Outcome) -> None:
    here, build = facts(stacked.task)["here"].replace("-", "").split()
    assert here == build
