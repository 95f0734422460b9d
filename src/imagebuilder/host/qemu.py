"""QEMU: a virtual machine as a value, its argument vector, its running process.

The guest hears the host's loopback at `HOST_ADDRESS`, through QEMU's user-mode
network with its own DHCP and TFTP: no bridge, no root, nothing to clean up.
"""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imagebuilder.host.command import Command, spawn

HOST_ADDRESS = "10.0.2.2"
_USER_NETWORK = "10.0.2.0/24"

# What emulation pays dearly for, left out. Linux clears and copies memory with `rep stosb` where a
# CPU says that this is fast (erms, fsrm): emulated, it is eight times slower than words, and a whole
# boot takes twice as long. Five-level page tables (la57) make each page walk longer for nothing.
_EMULATED_CPU = "max,-erms,-fsrm,-la57"


@dataclass(frozen=True, slots=True)
class Nic:
    """A virtio network card on a user-mode network of its own, or on a `tap` device of the host.

    `slot` is its place on the PCI bus, in whose order Linux finds cards; `capture` a pcap file to write; `rom` is
    whether it brings its boot ROM, iPXE.
    `ssh` is a TCP port of the host's loopback that leads to the guest's port 22.
    `wire` is two UDP ports of loopback in the place of the network: frames leave to the first and arrive at the second.
    """

    mac: str
    network: str = _USER_NETWORK
    slot: int | None = None
    capture: Path | None = None
    wire: tuple[int, int] | None = None
    tap: str | None = None
    rom: bool = True
    ssh: int | None = None


@dataclass(frozen=True, slots=True)
class DirectKernel:
    """QEMU puts kernel and initrd into memory itself."""

    kernel: Path
    initrd: Path
    command_line: str


@dataclass(frozen=True, slots=True)
class NetworkBoot:
    """The firmware boots from the first card: `file` is what DHCP names, in the TFTP folder `tftp`.

    On a tap device it is for others to say that.
    """

    tftp: Path | None = None
    file: str = ""


@dataclass(frozen=True, slots=True)
class Uefi:
    """UEFI firmware: its code, and a copy of its variables that this guest may change."""

    code: Path
    variables: Path


@dataclass(frozen=True, slots=True)
class Guest:
    """A virtual machine. It boots from the first of `nics`; its serial port is kept in `serial_log`.

    An `interactive` guest has the terminal as its serial port (Ctrl-A X ends it). `disk` is a raw image.
    """

    start: DirectKernel | NetworkBoot
    nics: tuple[Nic, ...]
    serial_log: Path
    memory_mb: int
    accelerator: str = "tcg"
    uefi: Uefi | None = None
    interactive: bool = False
    disk: Path | None = None


def argv(guest: Guest) -> tuple[str, ...]:
    """The command that runs the guest; it ends with its parent."""
    return (
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
        # Without the HPET, which hangs an emulated guest now and then; firmware speaks on the serial port.
        *("-machine", "q35,hpet=off,graphics=off"),
        *("-accel", guest.accelerator, "-cpu", "host" if guest.accelerator == "kvm" else _EMULATED_CPU),
        *("-smp", "1", "-m", str(guest.memory_mb)),
        *("-no-user-config", "-nodefaults", "-no-reboot", "-display", "none"),
        *_serial(guest),
        *_firmware(guest.uefi),
        *(("-drive", f"if=virtio,format=raw,file={_escaped(guest.disk)}") if guest.disk else ()),
        *_start(guest.start),
        *(word for number, nic in enumerate(guest.nics) for word in _card(guest, number, nic)),
    )


def _serial(guest: Guest) -> tuple[str, ...]:
    chardev = f"stdio,id=serial,logfile={_escaped(guest.serial_log)}"
    if guest.interactive:
        return ("-chardev", f"{chardev},mux=on,signal=off", "-serial", "chardev:serial", "-mon", "chardev=serial")
    return ("-chardev", chardev, "-serial", "chardev:serial")


def _firmware(uefi: Uefi | None) -> tuple[str, ...]:
    if uefi is None:
        return ()
    code = f"if=pflash,unit=0,format=raw,readonly=on,file={_escaped(uefi.code)}"
    return ("-drive", code, "-drive", f"if=pflash,unit=1,format=raw,file={_escaped(uefi.variables)}")


def _start(start: DirectKernel | NetworkBoot) -> tuple[str, ...]:
    if isinstance(start, NetworkBoot):
        return ()
    return ("-kernel", str(start.kernel), "-initrd", str(start.initrd), "-append", start.command_line)


def _card(guest: Guest, number: int, nic: Nic) -> Iterator[str]:
    backend = f"user,id=net{number},net={nic.network}"
    if nic.ssh:
        backend += f",hostfwd=tcp:127.0.0.1:{nic.ssh}-:22"
    if nic.wire:
        backend = "socket,id=net{},udp=127.0.0.1:{},localaddr=127.0.0.1:{}".format(number, *nic.wire)
    if nic.tap:
        backend = f"tap,id=net{number},ifname={nic.tap},script=no,downscript=no"
    device = f"virtio-net-pci,netdev=net{number},mac={nic.mac}"
    if nic.slot is not None:
        device += f",addr={nic.slot}"
    if isinstance(guest.start, NetworkBoot) and number == 0:
        if guest.start.tftp:
            backend += f",tftp={_escaped(guest.start.tftp)},bootfile={_escaped(guest.start.file)}"
        device += ",bootindex=0" if nic.rom else ",bootindex=0,romfile="
    else:
        device += ",romfile="
    yield from ("-netdev", backend, "-device", device)
    if nic.capture:
        yield from ("-object", f"filter-dump,id=dump{number},netdev=net{number},file={_escaped(nic.capture)}")


def _escaped(value: Path | str) -> str:
    """A value inside one of QEMU's comma-separated options."""
    return str(value).replace(",", ",,")


class RunningGuest:
    """A guest's process and what comes out of its serial port."""

    def __init__(self, process_argv: tuple[str, ...], *, interactive: bool) -> None:
        command = Command(process_argv)
        self._process = spawn(command, stdin=0, stdout=1, stderr=2) if interactive else spawn(command)

    def read(self, timeout: float) -> bytes | None:
        """What the serial port said: b"" after the guest has ended, None when `timeout` seconds passed in silence."""
        stdout = _pipe(self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            return os.read(stdout.fileno(), 1 << 16) if selector.select(timeout) else None

    def wait(self) -> int:
        """Wait for the guest to end; its exit status."""
        return self._process.wait()

    def stop(self) -> str:
        """End the guest if it still runs; returns what QEMU itself said, once."""
        self._process.kill()
        self._process.wait()
        if self._process.stderr is None or self._process.stderr.closed:
            return ""
        with self._process.stderr as stderr, _pipe(self._process.stdout):
            return stderr.read().decode(errors="replace").strip()


@contextmanager
def running(guest: Guest) -> Iterator[RunningGuest]:
    """Start a guest; it is gone after the block. Raises MissingToolError."""
    process = RunningGuest(argv(guest), interactive=guest.interactive)
    try:
        yield process
    finally:
        process.stop()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("an interactive guest's serial port is the terminal")
    return stream
