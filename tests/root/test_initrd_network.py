"""From cards to an address, in a network namespace: cables that are late or missing, DHCP servers that are, too.

`eth0` and `eth1` are the node's cards; at their other ends, `far0` and `far1`, a script plays the network.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
# Answers on a far end, from 10.N.0.FIRST on.
answer() { # N FOLDER [FIRST]
    conf=$2/udhcpd-$1-${3:-50}
    echo "interface far$1
start 10.$1.0.${3:-50}
end 10.$1.0.$((${3:-50} + 10))
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
# A router on a far end that gives addresses of 2001:db8:N::, itself (ra-only) or by DHCPv6.
router() { # N HOW
    ip addr add 2001:db8:$1::1/64 dev far$1 nodad
    dnsmasq --no-daemon --conf-file=/dev/null --port=0 --user=root --pid-file= --interface=far$1 --bind-dynamic \
        --enable-ra --dhcp-range=2001:db8:$1::$2 --dhcp-leasefile=$W/leases6 \
        --dhcp-option=option6:dns-server,[2001:db8::53] >/dev/null 2>&1 &
}
cable() { ip link set far$1 up; }
"""
_START = """
mount --bind "$1" /mnt
for folder in layers run var; do mount -t tmpfs tmpfs /mnt/$folder; done
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
NIC_WAIT=1 LINK_WAIT=2 DHCP_PAUSE=1 DHCP_ROUNDS=6
eval "$SETTINGS"
parse_arguments "$ARGUMENTS"
start_network
trap - EXIT
echo "nic=$nic address=$address gateway=$gateway mtu=$mtu"
cat /etc/resolv.conf; ip addr show dev "$nic"; ip link; ip -6 route
write_network_files; cat /run/systemd/network/10-imagebuilder-boot.network
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
    "no answer for a time, then one": Case("cable 0; (sleep 4; answer 0 $W) &", LEASE),
    "no answer at all": Case(
        "cable 0", "error=NB-DHCP detail=no DHCP server answers: eth0 (52:54:00:00:00:00, ",
        settings="DHCP_ROUNDS=1"
    ),
    "an answer at the second card": Case("cable 0; cable 1; answer 1 $W", "nic=eth1 address=10.1.0.5"),
    "two servers": Case("cable 0; cable 1; answer 0 $W; answer 1 $W", LEASE),
    "two servers on one wire": Case("cable 0; answer 0 $W; answer 0 $W 200", "nic=eth0 address=10.0.0."),
    "first card without a cable": Case("cable 1; answer 1 $W", "nic=eth1 address=10.1.0.5"),
    "cable that comes late": Case("(sleep 2; cable 0) & answer 0 $W", LEASE, settings="LINK_WAIT=20"),
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
    "jumbo frames": Case("ip link set far0 mtu 9000; cable 0; answer 0 $W", "mtu=9000\n", "nb.mtu=9000"),
    "jumbo frames win over what a lease says": Case(
        "ip link set far0 mtu 9000; cable 0; answer 0 $W", "mtu 9000 qdisc", "nb.mtu=9000"
    ),
    "larger frames than a card takes": Case(
        "ip link set eth0 mtu 1400; cable 0; answer 0 $W", "error=NB-ADDRESS detail=eth0 does not take `nb.mtu=65535`",
        "nb.mtu=65535", settings="ip() { case $* in *mtu*) return 1 ;; esac; command ip \"$@\"; }",
    ),
    "MTU that is none": Case("cable 0", "error=NB-ARGUMENT detail=`nb.mtu=huge` is no MTU", "nb.mtu=huge"),
    "VLAN that is none": Case("cable 0", "error=NB-ARGUMENT detail=`nb.vlan=4095` is no VLAN", "nb.vlan=4095"),
    "IPv6 of a router": Case(
        "cable 0; router 0 ,ra-only", "nic=eth0 address=2001:db8::5054:ff:fe00:0/64 gateway=fe80::", "ip=auto6"
    ),
    "IPv6 of a router, where no DHCP server answers": Case(
        "cable 0; router 0 ,ra-only", "address=2001:db8::5054", "API_CB=[2001:db8::1]:9080"
    ),
    "IPv6 of a router is no help where servers have none": Case(
        "cable 0; router 0 ,ra-only; (sleep 6; answer 0 $W) &", LEASE, "API_CB=10.0.0.1:9080"
    ),
    "IPv6 of a router is not asked for where a DHCP server answers": Case(
        "cable 0; router 0 ,ra-only; answer 0 $W", LEASE, "API_CB=[2001:db8::1]:9080"
    ),
    "IPv6 of a router at the second card": Case("cable 0; cable 1; router 1 ,ra-only", "nic=eth1", "ip=auto6"),
    "router that is late": Case(
        "cable 0; (sleep 5; router 0 ,ra-only) &", "address=2001:db8::5054", "ip=auto6"
    ),
    "networkd goes on with the router": Case("cable 0; router 0 ,ra-only", "\nIPv6AcceptRA=yes\n", "ip=auto6"),
    "no router": Case(
        "cable 0; answer 0 $W", "error=NB-DHCP detail=no router or DHCP server answers", "ip=auto6",
        settings="DHCP_ROUNDS=1",
    ),
    "IPv4 alone": Case(
        "cable 0; router 0 ,ra-only", "error=NB-DHCP detail=no DHCP server answers", "ip=dhcp", settings="DHCP_ROUNDS=1"
    ),
    "IPv6 of a DHCPv6 server": Case(
        "cable 0; router 0 100,2001:db8::1ff,64,1h", "nic=eth0 address=2001:db8::1", "ip=dhcp6", never="2001:db8::5054"
    ),
    "name server of a DHCPv6 server": Case(
        "cable 0; router 0 100,2001:db8::1ff,64,1h", "\nnameserver 2001:db8::53\n", "ip=dhcp6"
    ),
    "no DHCPv6 server": Case(
        "cable 0", "error=NB-DHCP detail=no DHCPv6 server answers", "ip=dhcp6", settings="DHCP_ROUNDS=1"
    ),
    "initrd without a DHCPv6 client": Case(
        "cable 0", "error=NB-ARGUMENT detail=`ip=dhcp6` wants `dhcpcd`", "ip=dhcp6", settings="PATH=/usr/bin:/bin"
    ),
    "static IPv6": Case(
        "cable 0", "default via 2001:db8::1 dev eth0", "ip=[2001:db8::9]/64::[2001:db8::1]:::eth0"
    ),
    "IPv6 that is none": Case("cable 0", "error=NB-ADDRESS detail=`2001:db8::9::/64` is no", "ip=[2001:db8::9::]/64"),
    "other cards are put down again": Case(
        "cable 0; cable 1; answer 0 $W", LEASE, never="eth1: <BROADCAST,MULTICAST,UP"
    ),
}  # fmt: skip


def _run(jail: Jail, folder: Path, case: Case) -> str:
    folder.mkdir()
    node = f"ARGUMENTS='{case.arguments}' SETTINGS='{case.settings}'\n{_NODE}"
    argv = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    argv += ["sh", "-ec", _START, "sh", str(jail.root), f"W={folder}\n{_WORLD}\n{case.network}", node]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=90, check=False).stdout


@pytest.fixture(scope="module")
def starts(
    initrd_jail: Jail, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[str]]]:
    """All selected cases, a few at a time: most of them wait for something."""
    folder = tmp_path_factory.mktemp("networks")
    selected = [item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(max_workers=6) as pool:
        yield {
            name: pool.submit(_run, initrd_jail, folder / str(number), case)
            for number, (name, case) in enumerate(CASES.items())
            if name in selected
        }


@pytest.mark.parametrize("name", CASES)
def test_network(name: str, starts: dict[str, Future[str]]) -> None:
    case, said = CASES[name], starts[name].result()
    assert case.ends in said, said
    assert case.never not in said


def test_defaults_outlast_a_spanning_tree_and_a_minute_without_dhcp() -> None:
    text = (PARTS / "network.sh").read_text()
    default = {name: int(value) for name, value in re.findall(r"^([A-Z_]+)=(\d+)", text, re.MULTILINE)}
    assert default["LINK_WAIT"] > 30
    assert default["DHCP_ROUNDS"] * default["DHCP_PAUSE"] * 3 > 90
