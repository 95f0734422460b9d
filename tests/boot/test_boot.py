"""Built images boot, in every way that machines boot, and are what they should be."""

from __future__ import annotations

import json
from subprocess import CompletedProcess

import pytest

from boot.conftest import DECOY, Site
from imagebuilder.boot.session import MAC, Outcome
from imagebuilder.errors import BootError
from nodes import facts, names

pytestmark = pytest.mark.boot

IN_THE_INITRD = ["init", "modules", "network", "memory", "fetch", "digest", "mount", "switch"]
IN_THE_SYSTEM = ["agent", "task", "result"]


def test_a_node_goes_through_all_phases_in_order(two_cards: Outcome) -> None:
    assert names(two_cards) == ["firmware", "kernel", *IN_THE_INITRD, *IN_THE_SYSTEM]
    seconds = [phase.seconds for phase in two_cards.phases]
    assert seconds == sorted(seconds)


def test_root_is_an_overlay_of_squashfs_and_ram(two_cards: Outcome) -> None:
    found = facts(two_cards.task)
    assert found["root"] == "overlay"
    assert "/layers/0.file" in found["layers"]
    assert found["disks"] == ""


def test_files_of_the_base_and_of_the_overlay_are_there(two_cards: Outcome, static_uefi: Outcome) -> None:
    assert facts(two_cards.task)["base_file"] == "curl"
    assert facts(two_cards.task)["overlay_file"] == "/usr/sbin/dmidecode"
    assert facts(static_uefi.task)["base_file"] == "curl"
    assert facts(static_uefi.task)["overlay_file"] == ""


def test_a_file_written_to_the_root_survives(two_cards: Outcome) -> None:
    assert facts(two_cards.task)["survives"] == "written"


def test_modules_of_the_running_kernel_load(two_cards: Outcome, pxe_metal: Outcome) -> None:
    assert facts(two_cards.task)["module"] == "vfat"
    assert facts(pxe_metal.task)["module"] == "vfat"
    assert "cloud" in facts(two_cards.task)["kernel"]
    assert "cloud" not in facts(pxe_metal.task)["kernel"]


def test_tasks_run_as_root_in_the_root_folder(two_cards: Outcome) -> None:
    found = facts(two_cards.task)
    assert (found["uid"], found["cwd"]) == ("0", "/")


def test_the_host_is_monorail_micro(two_cards: Outcome) -> None:
    assert facts(two_cards.task)["hostname"] == "monorail-micro"
    assert facts(two_cards.task)["hosts"] == "127.0.1.1 monorail-micro"


def test_monorail_may_sudo_and_has_no_password(two_cards: Outcome) -> None:
    assert facts(two_cards.task)["monorail"] == "0 /bin/bash"
    assert facts(two_cards.task)["password"].startswith(("!", "*"))


def test_everybody_may_put_files_into_downloads_and_uploads(two_cards: Outcome) -> None:
    assert facts(two_cards.task)["folders"] == "777 777"


def test_each_node_has_ssh_keys_and_a_machine_id_of_its_own(two_cards: Outcome) -> None:
    assert facts(two_cards.task)["host_keys"] == "ssh_host_ecdsa_key ssh_host_ed25519_key"
    assert facts(two_cards.task)["machine_id"] == "33"


def test_nothing_failed_while_the_system_came_up(two_cards: Outcome, static_uefi: Outcome, pxe_metal: Outcome) -> None:
    for node in (two_cards, static_uefi, pxe_metal):
        assert facts(node.task)["failed"] == ""
        assert facts(node.task)["state"] == "running"


def test_the_card_of_bootif_is_used_though_another_comes_first(two_cards: Outcome) -> None:
    found = facts(two_cards.task)
    assert found["booted_from"] == MAC
    assert "10.0.2.15" in found["addresses"]
    assert "10.0.3." not in found["addresses"]


def test_all_cards_are_up(two_cards: Outcome) -> None:
    assert sorted(facts(two_cards.task)["links"].split()) == sorted([f"{MAC}:UP", f"{DECOY.mac}:UP"])


@pytest.mark.parametrize(
    "line",
    [
        r"Linux version 6\.",
        r"nb: phase=network",
        r"^<156>.*monorail-micro probe(\[\d+\])?: hello from monorail-micro",
        r"^<30>.*agent\[\d+\]: agent: tasks at http",
        r"^<\d+>\w{3} [ \d]\d \d\d:\d\d:\d\d monorail-micro systemd\[1\]: ",
    ],
)
def test_syslog_arrives_from_the_kernel_on(site: Site, two_cards: Outcome, line: str) -> None:
    assert site.syslog.said(line)


def test_a_fixed_address_needs_no_dhcp(site: Site, static_uefi: Outcome) -> None:
    found = facts(static_uefi.task)
    assert "10.0.2.77/24" in found["addresses"]
    assert found["resolver"] == "10.0.2.3"
    traffic = (site.folder / "static.pcap").read_bytes()
    assert b"GET /api/current/tasks/" in traffic
    # What every DHCP packet carries behind its fixed fields (RFC 2131, section 3).
    assert b"\x63\x82\x53\x63" not in traffic


def test_bios_boots_from_the_network_card(pxe_metal: Outcome) -> None:
    assert names(pxe_metal) == ["firmware", "kernel", *IN_THE_INITRD, *IN_THE_SYSTEM]
    assert any("iPXE" in phase.detail for phase in pxe_metal.phases if phase.name == "firmware")


def test_uefi_boots_from_the_network_card_and_the_verb_says_how(pxe_uefi_verb: CompletedProcess[str]) -> None:
    assert pxe_uefi_verb.returncode == 0, pxe_uefi_verb.stderr
    said = json.loads(pxe_uefi_verb.stdout)
    assert [phase["name"] for phase in said["phases"]][-3:] == IN_THE_SYSTEM
    assert any("iPXE" in phase["detail"] for phase in said["phases"])
    assert facts(said["task"])["root"] == "overlay"
    assert "kernel start to result: " in pxe_uefi_verb.stderr


def test_the_reset_order_restarts_a_node_whose_bmc_does_not_answer(reset: BootError) -> None:
    assert "restarted or powered off in phase `task`" in reset.message
