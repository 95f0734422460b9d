"""Nodes that know nothing but their network card boot, on a bridge of their own: DHCP, TFTP or HTTP, iPXE, HTTP.

A Dell boots three times, an HPE twice, two of them side by side: by PXE, by UEFI over HTTP, beside another DHCP server.
Meanwhile the channel of the Dells moves and is rolled back, and the server is killed in the middle of a boot.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from imagebuilder.boot.console import Console, Failed, Said
from imagebuilder.host import qemu
from imagebuilder.host.qemu import Guest, NetworkBoot, Nic, Uefi
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.listing import History, history_of
from imagebuilder.serve.state.database import Database
from imagebuilder.store.index import Index, change_index
from imagebuilder.store.layout import Blob, Layout
from serving import BootServer, pxe_server
from stores import add_overlaid

pytestmark = [pytest.mark.boot, pytest.mark.root, pytest.mark.timeout(900)]

NAMESPACE = f"imagebuilder-{os.getpid()}"
SECONDS = 300
DELL, HPE = "52:54:00:00:01:01", "52:54:00:00:01:02"
MAKERS = {DELL: "manufacturer=Dell Inc.,product=PowerEdge R740", HPE: "manufacturer=HPE,product=ProLiant DL380 Gen10"}
TAPS = {DELL: "tap1", HPE: "tap2"}
NODES = """\
profiles:
  dell: {image: "dell:stable", arguments: "console=ttyS0,115200n8 loglevel=6"}
  hpe: {image: "hpe:stable", arguments: "console=ttyS0,115200n8 loglevel=6"}
nodes:
  - {vendor: Dell*, model: PowerEdge R7*, profile: dell}
  - {vendor: HPE, profile: hpe}
"""


def _ip(*words: str) -> None:
    subprocess.run(["ip", "-netns", NAMESPACE, *words], check=True)


@pytest.fixture(scope="module")
def bridge() -> Iterator[None]:
    """A namespace with a bridge that has an address, and a tap device for each of two nodes."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    try:
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "br0", "type", "bridge")
        _ip("address", "add", "10.77.0.1/24", "dev", "br0")
        _ip("link", "set", "br0", "up")
        for tap in ("tap1", "tap2"):
            _ip("tuntap", "add", tap, "mode", "tap")
            _ip("link", "set", tap, "master", "br0")
            _ip("link", "set", tap, "up")
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


@contextmanager
def another_dhcp_server(folder: Path) -> Iterator[None]:
    """On the bridge, but on a machine of its own: it gives addresses from .50 on, and knows nothing of booting."""
    other = f"{NAMESPACE}-dhcp"
    subprocess.run(["ip", "netns", "add", other], check=True)
    try:
        _ip("link", "add", "veth0", "master", "br0", "up", "type", "veth", "peer", "name", "eth0", "netns", other)
        for words in (["address", "add", "10.77.0.2/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            subprocess.run(["ip", "-netns", other, *words], check=True)
        options = ["--port=0", "--interface=eth0", "--dhcp-range=10.77.0.50,10.77.0.59", "--keep-in-foreground"]
        leases = f"--dhcp-leasefile={folder}/leases"
        argv = ["ip", "netns", "exec", other, "dnsmasq", "--conf-file=/dev/null", *options, leases, "--user=root"]
        with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.kill()
    finally:
        subprocess.run(["ip", "netns", "delete", other], check=True)


@dataclass
class Running:
    """The server of the bridge, and what it serves: the manifests by name and version."""

    layout: Layout
    manifests: dict[str, Blob]
    nodes: Path
    stack: ExitStack
    server: BootServer

    def start(self, *arguments: str) -> None:
        self.server = self.stack.enter_context(
            pxe_server(NAMESPACE, self.layout.root, "--nodes", self.nodes, *arguments)
        )

    def kill(self) -> None:
        """With a signal that it does not hear; dnsmasq goes along."""
        self.server.process.kill()
        self.server.process.wait()
        end = time.monotonic() + 20
        while _dnsmasqs():
            assert time.monotonic() < end
            time.sleep(0.1)

    def history(self, mac: str) -> History:
        with closing(Database(str(self.layout.root.parent / "pxe/serve/state.sqlite"))) as database:
            return history_of(Identity(mac=mac), database)


@pytest.fixture(scope="module")
def running(bridge: None, store_of_images: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Three images on one base: two of the Dells, whose channel is at the first, one of the HPEs."""
    folder = tmp_path_factory.mktemp("pxe")
    manifests = {}
    for name in ("hpe", "dell-2", "dell"):
        file = folder / name
        file.mkdir()
        (file / "of").write_text(name)
        subprocess.run(f"find of | cpio -H newc -o | gzip >{folder}/{name}.gz", shell=True, check=True, cwd=file)
        manifests[name] = add_overlaid(store_of_images, "discovery:stable", folder / f"{name}.gz")
    for name in ("dell", "hpe"):
        change_index(store_of_images, partial(Index.moved, name=f"{name}:stable", manifest=manifests[name]))
    nodes = folder / "nodes.yml"
    nodes.write_text(NODES)
    with ExitStack() as stack:
        server = stack.enter_context(pxe_server(NAMESPACE, store_of_images.root, "--nodes", nodes))
        yield Running(store_of_images, manifests, nodes, stack, server)


def bios(mac: str, folder: Path) -> list[str]:
    """The command of a node whose network card brings iPXE."""
    return _argv(Guest(NetworkBoot(), (Nic(mac, tap=TAPS[mac]),), folder / "console.log", memory_mb=512))


def uefi(mac: str, folder: Path) -> list[str]:
    """Of one whose firmware does PXE by itself."""
    variables = Path(shutil.copyfile("/usr/share/OVMF/OVMF_VARS_4M.fd", folder / "variables.fd"))
    firmware = Uefi(Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), variables)
    card = Nic(mac, tap=TAPS[mac], rom=False)
    return _argv(Guest(NetworkBoot(), (card,), folder / "console.log", memory_mb=1024, uefi=firmware))


def uefi_http(mac: str, folder: Path) -> list[str]:
    """Of one whose firmware boots over HTTP, and does no PXE."""
    no_pxe = (("-fw_cfg", f"name=opt/org.tianocore/{family}PXESupport,string=n") for family in ("IPv4", "IPv6"))
    return [*uefi(mac, folder), *(word for option in no_pxe for word in option)]


def _argv(guest: Guest) -> list[str]:
    return ["ip", "netns", "exec", NAMESPACE, *qemu.argv(guest), "-smbios", f"type=1,{MAKERS[guest.nics[0].mac]}"]


@dataclass(frozen=True, slots=True)
class Booted:
    """What a node said: its phases, and all that came to its console."""

    said: list[Said]
    log: str

    def details(self, phase: str) -> list[str]:
        return [event.detail for event in self.said if event.name == phase]

    @property
    def address(self) -> str:
        (network,) = self.details("network")
        return network.split()[1]

    @property
    def manifest(self) -> str:
        (manifest,) = self.details("manifest")
        return manifest.split()[0]

    @property
    def layers(self) -> set[str]:
        return {detail.split()[0] for detail in self.details("digest")}


def boot(argv: list[str], until: str, meanwhile: Callable[[Said], None] = lambda _: None) -> Booted:
    """Boot until a phase has ended; `meanwhile` hears of each."""
    console, said, log, end = Console(), list[Said](), b"", time.monotonic() + SECONDS
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        try:
            while time.monotonic() < end:
                piece = process.stdout.read() or b""
                log += piece
                for event in console.feed(piece):
                    assert not isinstance(event, Failed), f"{event}\n{console.tail}"
                    said.append(event)
                    meanwhile(event)
                    if event.name == until:
                        return Booted(said, log.decode(errors="replace"))
                assert process.poll() is None, console.tail
                time.sleep(0.1)
        finally:
            process.kill()
    raise AssertionError(f"the node came no further than this:\n{console.tail}")


def side_by_side(*boots: Callable[[], Booted]) -> list[Booted]:
    with ThreadPoolExecutor(len(boots)) as pool:
        return [future.result() for future in [pool.submit(boot) for boot in boots]]


@pytest.fixture(scope="module")
def first(running: Running, tmp_path_factory: pytest.TempPathFactory) -> list[Booted]:
    """The Dell by iPXE of its card, until it knows its manifest; the HPE over HTTP, all the way."""
    bios_folder, http_folder = (tmp_path_factory.mktemp(name) for name in ("bios", "http"))
    return side_by_side(
        lambda: boot(bios(DELL, bios_folder), "memory"), lambda: boot(uefi_http(HPE, http_folder), "switch")
    )


@pytest.fixture(scope="module")
def second(running: Running, first: list[Booted], tmp_path_factory: pytest.TempPathFactory) -> Booted:
    """The Dell again, by PXE of its firmware, after its channel has moved; the server is killed while it fetches."""

    def kill_and_start(event: Said) -> None:
        if event.name == "digest" and "overlay" in event.detail:
            running.kill()
            running.start()

    change_index(running.layout, lambda index: index.moved("dell:stable", running.manifests["dell-2"]))
    return boot(uefi(DELL, tmp_path_factory.mktemp("pxe")), "switch", kill_and_start)


@pytest.fixture(scope="module")
def third(running: Running, second: Booted, tmp_path_factory: pytest.TempPathFactory) -> list[Booted]:
    """Both beside another DHCP server, after the Dells' channel was rolled back, until they know their manifests."""
    change_index(running.layout, lambda index: index.rolled_back("dell:stable"))
    running.kill()
    bios_folder, uefi_folder = (tmp_path_factory.mktemp(name) for name in ("bios", "uefi"))
    with another_dhcp_server(bios_folder):
        running.start("--pxe-proxy")
        return side_by_side(
            lambda: boot(bios(DELL, bios_folder), "memory"), lambda: boot(uefi(HPE, uefi_folder), "memory")
        )


def test_bios_boots_by_ipxe_from_its_card(first: list[Booted]) -> None:
    node, _ = first
    assert "http://10.77.0.1:8080/boot.ipxe... ok" in node.log
    assert re.fullmatch(r"10\.77\.0\.\d+/24", node.address)


def test_uefi_boots_over_http(first: list[Booted]) -> None:
    _, node = first
    assert "URI: http://10.77.0.1:8080/ipxe.efi" in node.log
    assert "Start PXE" not in node.log
    assert "http://10.77.0.1:8080/boot.ipxe... ok" in node.log


def test_nodes_of_two_makers_get_overlays_of_their_own_on_one_base(
    running: Running, first: list[Booted], second: Booted
) -> None:
    dell, hpe = first
    assert dell.manifest == running.manifests["dell"].digest
    assert hpe.manifest == running.manifests["hpe"].digest
    (base,) = hpe.layers & second.layers
    assert base.startswith("base.")
    assert (hpe.layers ^ second.layers) == {"hpe.overlay.cpio.gz", "dell-2.overlay.cpio.gz"}


def test_uefi_without_ipxe_gets_it_by_tftp(second: Booted) -> None:
    assert "NBP filename is ipxe.efi" in second.log
    assert "http://10.77.0.1:8080/boot.ipxe... ok" in second.log


def test_boot_goes_on_where_it_was_when_a_killed_server_is_back(running: Running, second: Booted) -> None:
    events = running.history(DELL).events
    (base,) = (event for event in events if event.phase == "fetch" and event.bytes > 1_000_000)
    assert base.retries > 0
    assert re.search(r"nb: .*: can't connect to remote host", second.log)
    # QEMU ends with the console's last word, which may be before the record's.
    assert events[-1].phase in ("mount", "switch")


def test_dnsmasq_is_started_again_when_it_ends(running: Running, second: Booted) -> None:
    (pid,) = _dnsmasqs()
    os.kill(pid, 9)
    assert "dnsmasq has ended" in running.server.line("dnsmasq")
    end = time.monotonic() + 20
    while not _dnsmasqs():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_nodes_boot_beside_another_dhcp_server(third: list[Booted]) -> None:
    dell, hpe = third
    assert dell.address.startswith("10.77.0.5")
    assert "http://10.77.0.1:8080/boot.ipxe... ok" in dell.log
    assert hpe.address.startswith("10.77.0.5")
    assert "NBP filename is ipxe.efi" in hpe.log


def test_next_boot_gets_what_the_channel_was_moved_to_and_rolled_back_to(
    running: Running, first: list[Booted], second: Booted, third: list[Booted]
) -> None:
    old, new = running.manifests["dell"].digest, running.manifests["dell-2"].digest
    assert [node.manifest for node in (first[0], second, third[0])] == [old, new, old]
    boots = running.history(DELL).boots
    assert [(boot.choice.profile, boot.choice.manifest) for boot in boots] == [("dell", it) for it in (old, new, old)]


def _dnsmasqs() -> list[int]:
    """The processes of dnsmasq in the namespace, without what ties them to the server."""
    found = subprocess.run(["ip", "netns", "pids", NAMESPACE], capture_output=True, text=True, check=True)
    pids = [int(word) for word in found.stdout.split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == "dnsmasq"]
