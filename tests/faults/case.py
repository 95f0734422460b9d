"""A fault as a value, and how files of a good image become those of a bad one."""

from __future__ import annotations

import stat
import struct
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hostile import Trouble
from imagebuilder.steps import cpio, sidecar
from imagebuilder.steps.contents import Contents
from imagebuilder.steps.cpio import Member, Source
from imagebuilder.steps.layer import Entry
from imagebuilder.store.manifest import OVERLAYS, Layer, Manifest
from initrd_jail import (
    BASE_NAME,
    KEY,
    OVERLAY_NAME,
    SINCE,
    Image,
    layer,
    overlay_of,
)

MANIFEST, SIGNATURE = "/discovery.manifest.json", "/discovery.manifest.json.minisig"
BASE_PATH, OVERLAY_PATH = f"/{BASE_NAME}", f"/{OVERLAY_NAME}"
BY_NAME = f"BASEFS={BASE_PATH} OVERLAYFS={OVERLAY_PATH}"
HALF = 200_000
Files = Mapping[str, bytes]
Troubles = Mapping[str, Trouble]
SMALL_NODE = "MemTotal: 100000 kB\nMemAvailable: 90000 kB"


@dataclass(frozen=True, slots=True)
class Case:
    """One fault: what the servers have (made from the image that is right), what is wrong with them, how it ends.

    Each of `servers` is what goes wrong with one of them; None is one that is not there. `trusted` is the
    folder of keys: `keys`, `next`, `none`.
    """

    ends: str
    seconds: float
    files: Callable[[Image], Files] = lambda image: image.files
    servers: Sequence[Troubles | None] = ({},)
    arguments: str = f"MANIFEST={MANIFEST}"
    check: str = "cat /newroot/etc/base /newroot/etc/overlay"
    trusted: str = ""
    meminfo: str = ""
    says: str = ""


def having(**contents: bytes) -> Callable[[Image], Files]:
    """The files with other contents; in a name `_` stands for the base, `o` for the overlay, `m`, `s` as they say."""
    paths = {"base": BASE_PATH, "overlay": OVERLAY_PATH, "manifest": MANIFEST, "signature": SIGNATURE}
    paths |= {"sums": "/SHA256SUMS", "sums_signature": "/SHA256SUMS.minisig"}
    return lambda image: {**image.files, **{paths[name]: content for name, content in contents.items()}}


def lacking(*paths: str) -> Callable[[Image], Files]:
    return lambda image: {path: content for path, content in image.files.items() if path not in paths}


def signed(key: object = KEY, **fields: str) -> Callable[[Image], Files]:
    return lambda image: image.signed(key, **fields)  # type: ignore[arg-type]


def with_layers(change: Callable[[Manifest], Sequence[Layer]]) -> Callable[[Image], Files]:
    """Files whose manifest, signed as it should be, has other layers."""
    return lambda image: image.signed(manifest=replace(image.manifest, layers=tuple(change(image.manifest))))


def swapped(image: Image) -> Files:
    return {**image.files, BASE_PATH: image.files[OVERLAY_PATH], OVERLAY_PATH: image.files[BASE_PATH]}


def with_overlay(*sources: Source, contents: Contents | None = None) -> Callable[[Image], Files]:
    """An overlay that was signed with what it should not have in it; `contents` is what its manifest says of it."""
    return _with_packed(overlay_of(*sources), contents)


def with_capability(contents: Contents) -> Callable[[Image], Files]:
    """An overlay as builds pack it, with a file `/ping` that has a capability."""
    capability = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # VFS_CAP_REVISION_2, effective; CAP_NET_RAW
    root, ping = Member(b".", stat.S_IFDIR | 0o755), Member(b"ping", stat.S_IFREG | 0o755, size=1)
    entries = [Entry(root), Entry(ping, b"x", (("security.capability", capability),))]
    with tempfile.TemporaryDirectory() as scratch:
        known = sidecar.Known({}, frozenset())
        _, *members = sidecar.add(cpio.number(entries), known, "cpio.gz", SINCE, Path(scratch))
        return _with_packed(overlay_of(*members), contents)


def _with_packed(data: bytes, contents: Contents | None) -> Callable[[Image], Files]:
    def files(image: Image) -> Files:
        overlay = replace(layer(OVERLAYS["cpio.gz"], OVERLAY_NAME, data), notes=contents.notes if contents else ())
        layers = (*image.manifest.layers[:3], overlay)
        return {**image.signed(manifest=replace(image.manifest, layers=layers)), OVERLAY_PATH: data}

    return files


def with_text(manifest: Callable[[bytes], bytes]) -> Callable[[Image], Files]:
    """A manifest of another text, signed."""

    def files(image: Image) -> Files:
        data = manifest(image.files[MANIFEST])
        fields = {"timestamp": str(SINCE + 1), "file": "discovery.manifest.json"}
        return {**image.files, MANIFEST: data, SIGNATURE: KEY.sign(data, fields).encode()}

    return files


def with_sums(text: str, **fields: str) -> Callable[[Image], Files]:
    signature = KEY.sign(text.encode(), {"timestamp": str(SINCE + 1), "file": "SHA256SUMS", **fields})
    return having(sums=text.encode(), sums_signature=signature.encode())


def cut(content: bytes) -> bytes:
    return content[: len(content) // 3]


def flip(content: bytes) -> bytes:
    return content[:1000] + bytes([content[1000] ^ 4]) + content[1001:]


def flip_early(content: bytes) -> bytes:
    return content[:90] + bytes([content[90] ^ 1]) + content[91:]


def longer(content: bytes) -> bytes:
    return content + bytes(5000)


def same_size(content: bytes) -> bytes:
    return bytes(len(content))


def file(name: str, content: str = "x", mode: int = 0o644) -> Source:
    return Source(Member(name.encode(), stat.S_IFREG | mode, size=len(content)), content.encode())


ONCE, TWICE = 1, 2
QUICK, FEW, LONG = 8, 15, 40  # seconds on a busy machine
