"""Nodes that know nothing but their network card boot, on a bridge of their own: DHCP, TFTP, iPXE, HTTP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuilder.boot.console import Console, Failed, Said
from imagebuilder.host import qemu
from imagebuilder.host.qemu import Guest, NetworkBoot, Nic, Uefi
from imagebuilder.store.layout import Layout
from serving import BootServer, pxe_server

pytestmark = [pytest.mark.boot, pytest.mark.root, pytest.mark.timeout(900)]

NAMESPACE = "imagebuilder-test"
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


def test_bios_boots_by_ipxe_from_its_card(server: BootServer, tmp_path: Path) -> None:
    mac = MAC.format(1)
    guest = Guest(NetworkBoot(), (Nic(mac, tap="tap1"),), tmp_path / "console.log", memory_mb=512)
    said, log = boot(guest)
    assert "http://10.77.0.1:8080/boot.ipxe... ok" in log
    assert re.fullmatch(r"10\.77\.0\.\d+/24", _address(said))
    assert server.line(mac).startswith(f"{mac} (10.77.0.")


def test_uefi_without_ipxe_gets_it_by_tftp(server: BootServer, tmp_path: Path) -> None:
    mac = MAC.format(2)
    variables = Path(shutil.copyfile("/usr/share/OVMF/OVMF_VARS_4M.fd", tmp_path / "variables.fd"))
    guest = Guest(
        NetworkBoot(),
        (Nic(mac, tap="tap2", rom=False),),
        tmp_path / "console.log",
        memory_mb=1024,
        uefi=Uefi(Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), variables),
    )
    _, log = boot(guest)
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
