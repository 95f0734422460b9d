"""Nodes that know nothing but their network card boot, on a bridge of their own: DHCP, TFTP, iPXE, HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagebuilder.boot.console import Console, Failed, Said
from imagebuilder.host import qemu
from imagebuilder.host.qemu import Guest, NetworkBoot, Nic, Uefi
from imagebuilder.store.layout import Layout
from serving import BootServer, pxe_server

pytestmark = [pytest.mark.boot, pytest.mark.root, pytest.mark.timeout(900)]

NAMESPACE = f"imagebuilder-{os.getpid()}"
SECONDS = 300
MAC = "52:54:00:00:01:{:02x}"


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


@pytest.fixture(scope="module")
def server(bridge: None, store_of_images: Layout) -> Iterator[BootServer]:
    arguments = ("--image", "discovery:stable", "--append", "console=ttyS0,115200n8 loglevel=6")
    with pxe_server(NAMESPACE, store_of_images.root, *arguments) as server:
        yield server


def boot(guest: Guest) -> tuple[list[Said], str]:
    """Boot until the image's own init takes over; what the node said, and its last lines."""
    console, said, end = Console(), list[Said](), time.monotonic() + SECONDS
    argv = ["ip", "netns", "exec", NAMESPACE, *qemu.argv(guest)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        os.set_blocking(process.stdout.fileno(), False)
        try:
            while time.monotonic() < end:
                for event in console.feed(process.stdout.read() or b""):
                    assert not isinstance(event, Failed), f"{event}\n{console.tail}"
                    said.append(event)
                    if event.name == "switch":
                        return said, guest.serial_log.read_text(errors="replace")
                assert process.poll() is None, console.tail
                time.sleep(0.1)
        finally:
            process.kill()
    raise AssertionError(f"the node came no further than this:\n{console.tail}")


def _address(said: list[Said]) -> str:
    (network,) = (event.detail for event in said if event.name == "network")
    return network.split()[1]


def _uefi(mac: str, folder: Path) -> Guest:
    """A node whose firmware does PXE by itself."""
    variables = Path(shutil.copyfile("/usr/share/OVMF/OVMF_VARS_4M.fd", folder / "variables.fd"))
    firmware = Uefi(Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), variables)
    card = Nic(mac, tap="tap2", rom=False)
    return Guest(NetworkBoot(), (card,), folder / "console.log", memory_mb=1024, uefi=firmware)


def test_bios_boots_by_ipxe_from_its_card(server: BootServer, tmp_path: Path) -> None:
    mac = MAC.format(1)
    guest = Guest(NetworkBoot(), (Nic(mac, tap="tap1"),), tmp_path / "console.log", memory_mb=512)
    said, log = boot(guest)
    assert "http://10.77.0.1:8080/boot.ipxe... ok" in log
    assert re.fullmatch(r"10\.77\.0\.\d+/24", _address(said))
    assert server.line(mac).startswith(f"{mac} (10.77.0.")


def test_uefi_without_ipxe_gets_it_by_tftp(server: BootServer, tmp_path: Path) -> None:
    mac = MAC.format(2)
    _, log = boot(_uefi(mac, tmp_path))
    assert "NBP filename is ipxe.efi" in log
    assert "http://10.77.0.1:8080/boot.ipxe... ok" in log
    assert server.line(mac).startswith(f"{mac} (10.77.0.")


def test_dnsmasq_is_started_again_and_ends_with_the_server(server: BootServer) -> None:
    assert server.process.poll() is None
    (pid,) = _dnsmasqs()
    os.kill(pid, 9)
    assert "dnsmasq has ended" in server.line("dnsmasq")
    end = time.monotonic() + 20
    while not _dnsmasqs():
        assert time.monotonic() < end
        time.sleep(0.1)
    server.process.kill()
    server.process.wait()
    while _dnsmasqs():
        assert time.monotonic() < end
        time.sleep(0.1)


def _dnsmasqs() -> list[int]:
    """The processes of dnsmasq in the namespace, without what ties them to the server."""
    found = subprocess.run(["ip", "netns", "pids", NAMESPACE], capture_output=True, text=True, check=True)
    pids = [int(word) for word in found.stdout.split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == "dnsmasq"]


def test_nodes_boot_beside_another_dhcp_server(bridge: None, store_of_images: Layout, tmp_path: Path) -> None:
    arguments = ("--pxe-proxy", "--image", "discovery:stable", "--append", "console=ttyS0,115200n8 loglevel=6")
    with another_dhcp_server(tmp_path), pxe_server(NAMESPACE, store_of_images.root, *arguments):
        bios, uefi = tmp_path / "bios", tmp_path / "uefi"
        bios.mkdir()
        uefi.mkdir()
        card = Nic(MAC.format(3), tap="tap1")
        said, log = boot(Guest(NetworkBoot(), (card,), bios / "console.log", memory_mb=512))
        assert _address(said).startswith("10.77.0.5")
        assert "http://10.77.0.1:8080/boot.ipxe... ok" in log
        said, log = boot(_uefi(MAC.format(4), uefi))
        assert _address(said).startswith("10.77.0.5")
        assert "NBP filename is ipxe.efi" in log
