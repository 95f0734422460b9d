"""What systemd-networkd is told of the network that the initrd set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from initrd_shell import run_shell

_FACTS = """
BOOTIF_MAC=52:54:00:00:00:01 interface=eth0 VLAN='' mtu='' domain='' nameservers='' gateway='' address=10.0.0.5/24
method=dhcp
"""
TOLD = {
    "": "[Network]\nKeepConfiguration=yes\nLLDP=yes\nEmitLLDP=yes\nDHCP=ipv4\n\n[DHCPv4]\nClientIdentifier=mac\n",
    "mtu=9000": "Type=ether\n\n[Link]\nMTUBytes=9000\n\n[Network]\n",
    "domain=example nameservers='10.0.0.2 10.0.0.3'": "Domains=example\nDNS=10.0.0.2\nDNS=10.0.0.3\nDHCP=ipv4\n",
    "method=static gateway=10.0.0.1": "EmitLLDP=yes\nAddress=10.0.0.5/24\nGateway=10.0.0.1\n",
    "method=auto6 gateway=fe80::1": "EmitLLDP=yes\nIPv6AcceptRA=yes\n",
    "method=dhcp6": "EmitLLDP=yes\nIPv6AcceptRA=yes\n",
    "VLAN=7 interface=eth0.7": "EmitLLDP=yes\nVLAN=eth0.7\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
}


def _written(folder: Path, facts: str) -> dict[str, str]:
    script = f"{_FACTS}{facts}\nNETWORKD={folder}/network\ncp() {{ :; }}\nwrite_network_files"
    assert run_shell(script, folder).stderr == ""
    return {path.name: path.read_text() for path in (folder / "network").iterdir()}


@pytest.mark.parametrize("facts", TOLD)
def test_card_is_told_what_the_initrd_found(tmp_path: Path, facts: str) -> None:
    text = _written(tmp_path, facts)["10-imagebuilder-boot.network"]
    assert text.startswith("[Match]\nMACAddress=52:54:00:00:00:01\nType=ether\n\n")
    assert TOLD[facts] in text


def test_vlan_has_the_address_and_the_card_has_none(tmp_path: Path) -> None:
    files = _written(tmp_path, "VLAN=7 interface=eth0.7")
    assert "DHCP" not in files["10-imagebuilder-boot.network"]
    assert files["10-imagebuilder-vlan.netdev"] == "[NetDev]\nName=eth0.7\nKind=vlan\n\n[VLAN]\nId=7\n"
    assert files["10-imagebuilder-vlan.network"] == (
        "[Match]\nName=eth0.7\n\n[Network]\nKeepConfiguration=yes\nDHCP=ipv4\n\n[DHCPv4]\nClientIdentifier=mac\n"
    )
