"""A wire for a virtual network card on which everything is tagged with a VLAN; behind it, QEMU's user-mode network.

guest -- Ethernet frames in UDP datagrams -- `_carry`, which tags and untags -- another QEMU, which has no guest
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TAG = b"\x81\x00"  # IEEE 802.1Q
_ADDRESSES = 12  # bytes of a frame before its type


@contextmanager
def tagged_wire(vlan: int) -> Iterator[tuple[int, int]]:
    """The ports for `Nic(wire=...)`. Frames without the tag are lost, as on a switch port without a native VLAN."""
    tag = TAG + vlan.to_bytes(2)

    def untag(frame: bytes) -> bytes:
        return frame[:_ADDRESSES] + frame[_ADDRESSES + 4 :] if frame[_ADDRESSES:].startswith(tag) else b""

    def add_tag(frame: bytes) -> bytes:
        return frame[:_ADDRESSES] + tag + frame[_ADDRESSES:]

    with _port() as guest, _port() as network:
        guest_port, network_port = _free_port(), _free_port()
        argv = ["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-machine", "none", "-nodefaults"]
        argv += ["-display", "none", "-netdev", "user,id=network", "-netdev", "hubport,id=a,hubid=0,netdev=network"]
        argv += ["-netdev", f"socket,id=wire,udp=127.0.0.1:{_number(network)},localaddr=127.0.0.1:{network_port}"]
        argv += ["-netdev", "hubport,id=b,hubid=0,netdev=wire"]
        with subprocess.Popen(argv) as router:
            for source, target, port, change in (
                (guest, network, network_port, untag),
                (network, guest, guest_port, add_tag),
            ):
                threading.Thread(target=_carry, args=(source, target, port, change), daemon=True).start()
            yield _number(guest), guest_port
            router.kill()
        for end in (guest, network):
            end.sendto(b"", ("127.0.0.1", _number(end)))  # `_carry` hears it and ends


def _carry(source: socket.socket, target: socket.socket, port: int, change: Callable[[bytes], bytes]) -> None:
    while frame := source.recv(1 << 16):
        if changed := change(frame):
            target.sendto(changed, ("127.0.0.1", port))


def _port() -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    end.bind(("127.0.0.1", 0))
    return end


def _number(end: socket.socket) -> int:
    return int(end.getsockname()[1])


def _free_port() -> int:
    with _port() as end:
        return _number(end)
