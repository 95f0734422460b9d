"""The argument vector of a virtual machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.host.qemu import DirectKernel, Guest, NetworkBoot, Nic, Uefi, argv

DIRECT = DirectKernel(Path("/b/vmlinuz"), Path("/b/initrd"), "console=ttyS0 BASEFS=/b,c")
NETWORK = NetworkBoot(Path("/tftp,x"), "boot.ipxe")
NIC = Nic("52:54:00:00:00:01")


def _guest(start: DirectKernel | NetworkBoot = DIRECT, nics: tuple[Nic, ...] = (NIC,), **more: object) -> Guest:
    return Guest(start, nics, Path("/log"), 512, **more)  # type: ignore[arg-type]


def _values(words: tuple[str, ...], option: str) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words) if word == option]


def test_a_direct_start_hands_kernel_initrd_and_arguments_to_qemu() -> None:
    words = argv(_guest())
    assert _values(words, "-kernel") == ["/b/vmlinuz"]
    assert _values(words, "-initrd") == ["/b/initrd"]
    assert _values(words, "-append") == ["console=ttyS0 BASEFS=/b,c"]
    assert _values(words, "-m") == ["512"]
    assert _values(words, "-netdev") == ["user,id=net0,net=10.0.2.0/24"]
    assert _values(words, "-device") == ["virtio-net-pci,netdev=net0,mac=52:54:00:00:00:01,romfile="]


def test_a_card_may_be_on_a_wire_of_its_own() -> None:
    words = argv(_guest(nics=(Nic("52:54:00:00:00:01", wire=(4001, 4002)),)))
    assert _values(words, "-netdev") == ["socket,id=net0,udp=127.0.0.1:4001,localaddr=127.0.0.1:4002"]


def test_a_card_may_be_reached_by_ssh() -> None:
    words = argv(_guest(nics=(Nic("52:54:00:00:00:01", ssh=4022),)))
    assert _values(words, "-netdev") == ["user,id=net0,net=10.0.2.0/24,hostfwd=tcp:127.0.0.1:4022-:22"]


def test_a_guest_may_have_a_disk() -> None:
    assert _values(argv(_guest(disk=Path("/d,x"))), "-drive") == ["if=virtio,format=raw,file=/d,,x"]


def test_a_network_boot_has_tftp_and_a_card_with_its_rom_and_no_kernel() -> None:
    words = argv(_guest(NETWORK, (NIC, Nic("52:54:00:00:00:02"))))
    assert "-kernel" not in words
    first, second = _values(words, "-netdev")
    assert first == "user,id=net0,net=10.0.2.0/24,tftp=/tftp,,x,bootfile=boot.ipxe"
    assert "tftp" not in second
    first, second = _values(words, "-device")
    assert "romfile" not in first
    assert first.endswith(",bootindex=0")
    assert second.endswith(",romfile=")


def test_each_card_has_a_network_of_its_own_and_may_be_listened_to() -> None:
    nics = (Nic("a", capture=Path("/x,y.pcap")), Nic("b", network="10.0.3.0/24", slot=5))
    words = argv(_guest(nics=nics))
    assert _values(words, "-netdev") == ["user,id=net0,net=10.0.2.0/24", "user,id=net1,net=10.0.3.0/24"]
    assert _values(words, "-device")[1] == "virtio-net-pci,netdev=net1,mac=b,addr=5,romfile="
    assert _values(words, "-object") == ["filter-dump,id=dump0,netdev=net0,file=/x,,y.pcap"]


def test_uefi_has_read_only_code_and_variables_of_its_own() -> None:
    words = argv(_guest(uefi=Uefi(Path("/code.fd"), Path("/vars.fd"))))
    assert _values(words, "-drive") == [
        "if=pflash,unit=0,format=raw,readonly=on,file=/code.fd",
        "if=pflash,unit=1,format=raw,file=/vars.fd",
    ]
    assert "-drive" not in argv(_guest())


@pytest.mark.parametrize(("accelerator", "cpu"), [("kvm", "host"), ("tcg", "max,-erms,-fsrm,-la57")])
def test_the_cpu_suits_the_accelerator(accelerator: str, cpu: str) -> None:
    words = argv(_guest(accelerator=accelerator))
    assert _values(words, "-accel") == [accelerator]
    assert _values(words, "-cpu") == [cpu]


def test_the_console_is_logged_and_an_interactive_one_can_be_left() -> None:
    assert _values(argv(_guest()), "-chardev") == ["stdio,id=serial,logfile=/log"]
    words = argv(_guest(interactive=True))
    assert _values(words, "-chardev") == ["stdio,id=serial,logfile=/log,mux=on,signal=off"]
    assert _values(words, "-mon") == ["chardev=serial"]


def test_the_guest_ends_with_its_parent() -> None:
    assert argv(_guest())[:4] == ("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64")
