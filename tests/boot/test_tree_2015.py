"""What a tree of 2015 makes boots, with RackHD's arguments and an overlay that is none of ours."""

from __future__ import annotations

import pytest

from imagebuilder.boot.session import MAC, Outcome
from nodes import facts

pytestmark = pytest.mark.boot


def test_a_tree_of_2015_boots(tree_of_2015: Outcome) -> None:
    found = facts(tree_of_2015.task)
    assert found["root"] == "overlay"
    assert found["monorail"] == "0 /bin/bash"
    assert found["hosts"].startswith("127.0.")
    assert found["module"] == "loaded"
    assert found["failed"] == ""


def test_urls_paths_and_colons_are_what_rackhd_means_by_them(tree_of_2015: Outcome) -> None:
    found = facts(tree_of_2015.task)
    assert found["booted_from"] == f"BOOTIF=01-{MAC}"
    assert found["programs"].split() == ["/usr/sbin/dmidecode", "/usr/bin/lspci", "/usr/bin/curl"]


def test_hooks_of_an_old_overlay_run_and_its_tools_are_there(tree_of_2015: Outcome) -> None:
    found = facts(tree_of_2015.task)
    assert found["hooks"] == "/run/hooks-of-2015"
    assert found["vendor"] == "a tool of the vendor"


def test_overlay_packed_by_hand_is_in_charge_with_its_own_rc_local(tree_of_2015: Outcome) -> None:
    assert facts(tree_of_2015.task)["rc_local"] == "/run/rc.local-by-hand"
