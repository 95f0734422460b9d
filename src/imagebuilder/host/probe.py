"""Does the machine let us do what builds and boots do? Each probe tries it, none looks at a version.

A probe returns when the thing works and raises an `ImagebuilderError` that says why it does not.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from imagebuilder.errors import BootError, CommandError
from imagebuilder.host import mounts
from imagebuilder.host.command import AS_ROOT, Command, run

_SCRIPT = Path(__file__).parent / "probe.sh"
_GUEST_SECONDS = 5
_MAGIC = 0x10
# A boot sector: mov al, MAGIC; out 0xf4, al; jmp $; padding; the BIOS's signature.
_BOOT_SECTOR = bytes([0xB0, _MAGIC, 0xE6, 0xF4, 0xEB, 0xFE]).ljust(510, b"\0") + b"\x55\xaa"
# QEMU's isa-debug-exit ends with this status when the guest writes MAGIC to its port.
_GUEST_RAN = _MAGIC << 1 | 1


def overlay() -> None:
    """An overlay can be mounted in a private mount namespace, and a deletion becomes a whiteout."""
    with tempfile.TemporaryDirectory() as folder:
        as_root = () if os.geteuid() == 0 else AS_ROOT
        script = ("sh", str(_SCRIPT), folder, mounts.overlay_options())
        _run(Command((*as_root, "unshare", "--mount", "--propagation", "private", *script)))


def user_namespace() -> None:
    """Whoever calls may be root of a namespace of its own, with subordinate ids."""
    _run(Command((*AS_ROOT, "true")))


def guest(accelerator: str) -> None:
    """QEMU runs a guest with `accelerator` (`kvm`, `tcg`): it must execute the guest's first instructions.

    That /dev/kvm can be opened proves little: nested and emulated ones often hang or abort.
    """
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "boot-sector"
        disk.write_bytes(_BOOT_SECTOR)
        result = run(Command(_guest_argv(accelerator, disk), accept=frozenset(range(-64, 256))))
    if result.status != _GUEST_RAN:
        lines = result.tail.strip().splitlines()
        reason = lines[-1] if lines else f"the guest did not start within {_GUEST_SECONDS} s"
        raise BootError(f"QEMU starts no guest with `{accelerator}`: {reason}")


def _guest_argv(accelerator: str, disk: Path) -> tuple[str, ...]:
    return (
        *("timeout", "--signal=KILL", str(_GUEST_SECONDS), "qemu-system-x86_64"),
        *("-machine", "pc", "-accel", accelerator, "-cpu", "max", "-m", "32"),
        *("-nodefaults", "-no-reboot", "-display", "none"),
        *("-device", "isa-debug-exit,iobase=0xf4,iosize=1"),
        *("-drive", f"file={disk},format=raw,if=floppy,readonly=on"),
    )


def _run(command: Command) -> None:
    try:
        run(command)
    except CommandError as error:
        lines = error.detail.strip().splitlines() or [error.message]
        raise BootError(lines[-1]) from error
