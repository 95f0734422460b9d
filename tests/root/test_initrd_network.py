"""From cards to an address, in a network namespace: cables that are late or missing, DHCP servers that are, too.

`eth0` and `eth1` are the node's cards; at their other ends, `far0` and `far1`, a script plays the network.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from initrd_jail import Jail
from initrd_shell import PARTS

pytestmark = pytest.mark.root

_WORLD = """
ip link set lo up
for n in 0 1; do
    ip link add eth$n address 52:54:00:00:00:0$n type veth peer name far$n
    ip addr add 10.$n.0.1/24 dev far$n
done
# Answers on a far end, from 10.N.0.SERVER on.
answer() { # N [SERVER]
    conf=$2/udhcpd-$1
    echo "interface far$1
start 10.$1.0.50
end 10.$1.0.60
lease_file $conf.leases
pidfile $conf.pid
option router 10.$1.0.1
option subnet 255.255.255.0
option dns 10.$1.0.2
option domain example.org
option mtu 1400" >$conf
    : >$conf.leases
    busybox udhcpd -f -a 50 $conf >/dev/null 2>&1 &
}
cable() { ip link set far$1 up; }
"""
_START = """
mount --bind "$1" /mnt
for folder in layers run; do mount -t tmpfs tmpfs /mnt/$folder; done
mkdir /mnt/run/imagebuilder
for folder in dev proc; do mount --rbind /$folder /mnt/$folder; done
mkdir -p /mnt/sys && mount -t sysfs sysfs /mnt/sys
eval "$2"
cd /mnt && exec chroot . sh -c "$3"
"""
_NODE = """
sed '$d' /init.real >/run/init && . /run/init
log() { echo "nb: $2"; }
fail() { trap - EXIT; echo "nb: error=$1 detail=$2"; exit 99; }
nics() { for n in /sys/class/net/eth*; do printf '%s ' "${n##*/}"; done; }
NIC_WAIT=1 LINK_WAIT=2 DHCP_PAUSE=1 DHCP_ROUNDS=2
eval "$SETTINGS"
parse_arguments "$ARGUMENTS"
start_network
trap - EXIT
echo "nic=$nic address=$address gateway=$gateway mtu=$mtu"
cat /etc/resolv.conf; ip -4 addr show dev "$nic"; ip link
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What the network does, what the node is told, how it ends (a piece of what is said), and what must not be."""

    network: str
    ends: str
    arguments: str = ""
    settings: str = ""
    never: str = "\0"


LEASE = "nic=eth0 address=10.0.0.5"
CASES: Mapping[str, Case] = {
    "a lease": Case("cable 0; answer 0 $W", LEASE),
    "what else a lease says is set": Case("cable 0; answer 0 $W", "gateway=10.0.0.1 mtu=1400\nsearch example.org\n"),
    "no answer for a time, then one": Case("cable 0; (sleep 4; answer 0 $W) &", LEASE, settings="DHCP_ROUNDS=5"),
    "no answer at all": Case(
        "cable 0", "error=NB-DHCP detail=no DHCP server answers: eth0 (52:54:00:00:00:00, ", settings="DHCP_ROUNDS=1"
    ),
    "an answer at the second card": Case("cable 0; cable 1; answer 1 $W", "nic=eth1 address=10.1.0.5"),
    "two servers": Case("cable 0; cable 1; answer 0 $W; answer 1 $W", LEASE),
    "first card without a cable": Case("cable 1; answer 1 $W", "nic=eth1 address=10.1.0.5"),
    "cable that comes late": Case("(sleep 2; cable 0) & answer 0 $W", LEASE, settings="LINK_WAIT=20 DHCP_ROUNDS=9"),
    "no cable": Case("", "error=NB-LINK detail=no cable is heard: eth0 (52:54:00:00:00:00, "),
    "BOOTIF of the second card": Case(
        "cable 0; cable 1; answer 0 $W; answer 1 $W", "nic=eth1", "BOOTIF=01-52-54-00-00-00-01"
    ),
    "BOOTIF of no card": Case(
        "cable 0; answer 0 $W", "no network card has the address 52:54:00:00:00:99; there are: eth0 (",
        "BOOTIF=01-52-54-00-00-00-99",
    ),
    "BOOTIF of a card without a cable": Case(
        "cable 0; answer 0 $W", "error=NB-LINK", "BOOTIF=01-52-54-00-00-00-01"
    ),
    "BOOTIF that is nonsense": Case("cable 0; answer 0 $W", "error=NB-NIC", "BOOTIF=$(reboot)"),
    "static address": Case(
        "cable 0", "nic=eth0 address=10.0.0.9/24 gateway=10.0.0.1", "ip=10.0.0.9::10.0.0.1:255.255.255.0::eth0"
    ),
    "static address asks nobody": Case(
        "cable 0; answer 0 $W", "inet 10.0.0.9/24", "ip=10.0.0.9/24", never="10.0.0.5"
    ),
    "gateway outside of the network": Case("cable 0", "gateway=192.0.2.1", "ip=10.0.0.9/32::192.0.2.1"),
    "address that is none": Case("cable 0", "error=NB-ADDRESS detail=`300.0.0.9/24` is no address", "ip=300.0.0.9/24"),
    "other cards are put down again": Case(
        "cable 0; cable 1; answer 0 $W", LEASE, never="eth1: <BROADCAST,MULTICAST,UP"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_network(initrd_jail: Jail, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    node = f"ARGUMENTS='{case.arguments}' SETTINGS='{case.settings}'\n{_NODE}"
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    argv += ["sh", "-ec", _START, "sh", str(initrd_jail.root), f"W={tmp_path}\n{_WORLD}\n{case.network}", node]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
    assert case.ends in done.stdout, done.stdout
    assert case.never not in done.stdout


def test_defaults_outlast_a_spanning_tree_and_a_minute_without_dhcp() -> None:
    text = (PARTS / "network.sh").read_text()
    default = {name: int(value) for name, value in re.findall(r"^([A-Z_]+)=(\d+)", text, re.MULTILINE)}
    assert default["LINK_WAIT"] > 30
    assert default["DHCP_ROUNDS"] * default["DHCP_PAUSE"] * 3 > 90
