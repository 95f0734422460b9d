"""dnsmasq beside the server: addresses (DHCP) and boot programs (TFTP) on one network card that was named.

Its configuration is a pure function of what was asked for and of the card's address. It runs below us: when it ends
it is started again, when we end, even by a kill -9, it ends too.
"""

from __future__ import annotations

import ipaddress
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from imagebuilder.errors import CommandError, UserError
from imagebuilder.host import clock
from imagebuilder.host.command import Command, run, spawn

_TEMPLATE = Path(__file__).parent / "templates/dnsmasq.conf"
_LEASE = "1h"
_AGAIN_SECONDS = 2
# A pid namespace ends with its first process, which ends with its parent; dnsmasq itself would lose that tie when
# it becomes another user.
_TIED_TO_US = ("setpriv", "--pdeathsig=KILL", "unshare", "--pid", "--fork", "--kill-child", "unshare", "--fork")


@dataclass(frozen=True, slots=True)
class Network:
    """The network card that was named, its address and network, the first and last address for nodes."""

    interface: str
    own: ipaddress.IPv4Interface
    first: ipaddress.IPv4Address
    last: ipaddress.IPv4Address


@dataclass(frozen=True, slots=True)
class Pxe:
    """What is told on a network: the HTTP server (HOST:PORT), where iPXE's programs lie, where leases are kept.

    As a `proxy`, addresses are another server's to give.
    """

    network: Network
    server: str
    ipxe: Path
    leases: Path
    proxy: bool = False


def network_of(interface: str, wanted: str) -> Network:
    """The network of a card; nodes get the addresses `FIRST,LAST`, or, for "", the upper half of it.

    Raises UserError for a card that is not there or has no address, or for addresses of another network.
    """
    try:
        said = run(Command(("ip", "-json", "-4", "address", "show", "dev", interface))).stdout
    except CommandError:
        raise UserError(f"there is no network card `{interface}`", hint="`ip -br address` lists them") from None
    addresses = [address for card in json.loads(said) for address in card.get("addr_info", [])]
    if not addresses:
        raise UserError(
            f"the network card `{interface}` has no IPv4 address",
            hint=f"give it one: `ip address add 10.0.0.1/24 dev {interface}`",
        )
    own = ipaddress.IPv4Interface(f"{addresses[0]['local']}/{addresses[0]['prefixlen']}")
    first, last = addresses_for_nodes(own, wanted)
    return Network(interface, own, first, last)


def addresses_for_nodes(
    own: ipaddress.IPv4Interface, wanted: str
) -> tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]:
    """`FIRST,LAST` of the network of `own`; for "" its upper half. Raises UserError."""
    network = own.network
    if not wanted:
        if network.num_addresses < 4:
            raise UserError(f"the network {network} has no room for nodes", hint="`--pxe-range FIRST,LAST`")
        middle = network.network_address + network.num_addresses // 2
        last = network.broadcast_address - 1
        return (middle + 1, last) if own.ip == middle and middle < last else (middle, last)
    try:
        first, last = (ipaddress.IPv4Address(part) for part in wanted.split(","))
    except ValueError:
        raise UserError(f"`{wanted}` is no range of addresses", hint="it is like `10.0.0.100,10.0.0.200`") from None
    if first > last or first not in network or last not in network:
        raise UserError(f"`{wanted}` is not in the network {network}", hint=f"which is that of {own}")
    return first, last


def configuration(pxe: Pxe) -> str:
    """The configuration of dnsmasq."""
    network = pxe.network
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        interface=network.interface,
        own=network.own.ip,
        role="\n".join(_proxy_role(network) if pxe.proxy else _server_role(network)),
        server=pxe.server,
        ipxe=pxe.ipxe,
        leases=pxe.leases,
    )


def _server_role(network: Network) -> list[str]:
    return [f"dhcp-range={network.first},{network.last},{network.own.netmask},{_LEASE}", "dhcp-authoritative"]


def _proxy_role(network: Network) -> list[str]:
    """Beside another DHCP server: firmware that does PXE is offered a menu of one."""
    programs = {"X86PC": "undionly.kpxe", "X86-64_EFI": "ipxe.efi", "BC_EFI": "ipxe.efi", "ARM64_EFI": "ipxe-arm64.efi"}
    services = [f'pxe-service=tag:!ipxe,{kind},"imagebuilder",{program}' for kind, program in programs.items()]
    return [f"dhcp-range={network.own.network.network_address},proxy,{network.own.netmask}", *services]


@contextmanager
def running(pxe: Pxe, folder: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """Have dnsmasq run during the block, with its configuration in `folder`; `tell` hears of its trouble.

    Raises CommandError for a configuration that it does not take.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dnsmasq.conf"
    path.write_text(configuration(pxe), encoding="utf-8")
    run(Command(("dnsmasq", "--test", f"--conf-file={path}")))
    supervisor = _Supervisor(path, tell)
    try:
        yield
    finally:
        supervisor.stop()


class _Supervisor:
    """Starts dnsmasq, and again whenever it ends by itself."""

    def __init__(self, configuration_file: Path, tell: Callable[[str], None]) -> None:
        argv = ("dnsmasq", "--keep-in-foreground", "--log-facility=-", f"--conf-file={configuration_file}")
        self._command = Command((*_TIED_TO_US, *argv))
        self._tell = tell
        self._stopped = threading.Event()
        self._process = spawn(self._command)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it for good."""
        self._stopped.set()
        self._process.kill()
        self._thread.join()

    def _watch(self) -> None:
        # The parent-death signal is that of the thread which started a process: so this one must outlive it.
        while True:
            last = self._last_words()
            if self._stopped.is_set():
                return
            self._tell(f"dnsmasq has ended: {last or 'without a word'}; started again")
            clock.sleep(_AGAIN_SECONDS)
            self._process = spawn(self._command)
            if self._stopped.is_set():
                self._process.kill()

    def _last_words(self) -> str:
        """Wait for its end; the last line that it said."""
        last = ""
        with self._process as process:
            assert process.stderr
            for line in process.stderr:
                last = line.decode(errors="replace").strip() or last
        return last
