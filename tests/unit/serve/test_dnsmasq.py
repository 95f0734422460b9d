"""What dnsmasq is told, and which addresses nodes get."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from imagebuilder.cli.main import main
from imagebuilder.errors import UserError
from imagebuilder.serve.dnsmasq import Network, Pxe, addresses_for_nodes, configuration, network_of

PXE = Pxe(
    Network("eth1", IPv4Interface("10.0.0.1/24"), IPv4Address("10.0.0.100"), IPv4Address("10.0.0.200")),
    "10.0.0.1:8080",
    Path("/usr/lib/ipxe"),
    Path("/nowhere/leases"),
)


@pytest.mark.parametrize("proxy", [False, True], ids=["server", "proxy"])
def test_dnsmasq_takes_the_configuration_and_answers_on_the_named_card_only(tmp_path: Path, proxy: bool) -> None:
    text = configuration(replace(PXE, proxy=proxy))
    path = tmp_path / "dnsmasq.conf"
    path.write_text(text)
    subprocess.run(["dnsmasq", "--test", f"--conf-file={path}"], check=True, capture_output=True)
    lines = text.splitlines()
    assert [line for line in lines if "eth1" in line] == ["interface=eth1", "enable-tftp=eth1"]
    addresses = "10.0.0.0,proxy,255.255.255.0" if proxy else "10.0.0.100,10.0.0.200,255.255.255.0,1h"
    assert {"port=0", "bind-interfaces", f"dhcp-range={addresses}"} <= set(lines)
    assert ("dhcp-authoritative" in lines) != proxy
    assert "dhcp-boot=tag:ipxe,http://10.0.0.1:8080/boot.ipxe,,10.0.0.1" in lines


@pytest.mark.parametrize(
    ("own", "wanted", "first", "last"),
    [
        ("10.0.0.1/24", "", "10.0.0.128", "10.0.0.254"),
        ("10.0.0.128/24", "", "10.0.0.129", "10.0.0.254"),
        ("192.168.4.9/22", "", "192.168.6.0", "192.168.7.254"),
        ("10.0.0.1/30", "", "10.0.0.2", "10.0.0.2"),
        ("10.0.0.1/24", "10.0.0.7,10.0.0.7", "10.0.0.7", "10.0.0.7"),
    ],
)
def test_nodes_get_addresses_of_the_cards_network(own: str, wanted: str, first: str, last: str) -> None:
    assert addresses_for_nodes(IPv4Interface(own), wanted) == (IPv4Address(first), IPv4Address(last))


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ("10.0.0.1/24", "10.0.1.1,10.0.1.2"),
        ("10.0.0.1/24", "10.0.0.9,10.0.0.8"),
        ("10.0.0.1/24", "10.0.0.9"),
        ("10.0.0.1/24", "a,b"),
        ("10.0.0.1/32", ""),
    ],
)
def test_addresses_of_no_use_are_refused(own: str, wanted: str) -> None:
    with pytest.raises(UserError):
        addresses_for_nodes(IPv4Interface(own), wanted)


def test_card_has_to_be_there_and_its_address_decides() -> None:
    with pytest.raises(UserError, match="there is no network card `none0`"):
        network_of("none0", "")
    assert str(network_of("lo", "").own) == "127.0.0.1/8"


def test_configuration_can_be_printed_without_doing_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--pxe", "lo", "--print-dnsmasq", "--port", "81", "--cache", str(tmp_path)]) == 0
    assert "dhcp-boot=tag:ipxe,http://127.0.0.1:81/boot.ipxe,,127.0.0.1\n" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "words",
    [["--print-dnsmasq"], ["--pxe-range", "a,b"], ["--pxe", "lo", "--port", "0"], ["--pxe", "none0"], ["--pxe-proxy"]],
    ids=str,
)
def test_wrong_arguments_are_the_users_mistake(words: list[str], tmp_path: Path) -> None:
    assert main(["serve", *words, "--cache", str(tmp_path)]) == 2
