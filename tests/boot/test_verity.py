"""A base with a hash tree: what the kernel reads of it, it checks, with an initrd that was built for this."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from builds import Site, default_site, write_tree
from imagebuilder.boot import peer
from imagebuilder.boot.session import MAC
from imagebuilder.host import qemu
from imagebuilder.steps import libraries
from imagebuilder.steps.contents import read_notes
from imagebuilder.steps.verity import AppendHashTree, NoteRootHash
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import BASE, INITRD, KERNEL, Layer, Manifest
from initrd_jail import layer

pytestmark = pytest.mark.boot

_SECONDS = 120
# The whole of a booted system; a read that fails says so.
_INIT = """#!/bin/busybox sh
for name in good bad; do
    busybox cat /$name >/dev/null && echo "could read $name"
done
busybox poweroff -f
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Site:
    """An initrd for virtual machines that opens such bases."""
    site = default_site(tmp_path_factory.mktemp("verity"), package_cache)
    config = (site.tree / "vars/initrd_virt.yml").read_text()
    write_tree(site.tree, {"vars/initrd_virt.yml": f"{config}  verity: true\n"})
    site.build("--kind", "initrd", "--config-file", "vars/initrd_virt.yml")
    return site


def _damaged_base(folder: Path) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A base of which one block is another one than its hash tree says, and what a manifest says of it."""
    tree, squashed = folder / "tree", folder / "squashed"
    for place, file in libraries.closure(Path("/"), ["busybox"]).items():
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        (tree / place).write_bytes(file.read_bytes())
        (tree / place).chmod(0o755)
    for name in ("bin", "lib", "lib64", "sbin"):
        (tree / "usr" / name).mkdir(exist_ok=True)
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "etc").mkdir()
    write_tree(tree, {"usr/sbin/init": _INIT})
    (tree / "usr/sbin/init").chmod(0o755)
    bad = os.urandom(300_000)
    (tree / "bad").write_bytes(bad)
    (tree / "good").write_bytes(os.urandom(300_000))
    subprocess.run(["mksquashfs", tree, squashed, "-quiet", "-no-progress"], check=True, capture_output=True)
    machine = None
    AppendHashTree().run(machine, {"packed": (squashed,)}, folder / "base")  # type: ignore[arg-type]
    NoteRootHash().run(machine, {"packed": (squashed,)}, folder / "note")  # type: ignore[arg-type]
    data = bytearray((folder / "base").read_bytes())
    data[data.index(bad[140_000:140_100])] ^= 1
    return bytes(data), read_notes((folder / "note").read_text())


def test_block_that_is_another_one_cannot_be_read_and_all_others_can(site: Site, tmp_path: Path) -> None:
    (kernel,), (initrd,) = site.builds.glob("vmlinuz-*"), site.builds.glob("initrd.img-*")
    data, notes = _damaged_base(tmp_path)
    # To its digest, and to who signed it, it is as it should be.
    base = Layer(BASE, "base.squashfs.img", layer(BASE, "", data).blob, notes)
    manifest = Manifest((Layer(KERNEL, "k", Blob("0" * 64, 1)), Layer(INITRD, "i", Blob("0" * 64, 1)), base), "now")
    (tmp_path / "www").mkdir()
    (tmp_path / "www/base.squashfs.img").write_bytes(data)
    (tmp_path / "www/x.manifest.json").write_bytes(manifest.to_bytes())
    said, end = b"", time.monotonic() + _SECONDS
    with peer.serve(lambda _: peer.Content(tmp_path / "www"), lambda _: None) as port:
        arguments = f"API_CB={qemu.HOST_ADDRESS}:{port} MANIFEST=/x.manifest.json nb.onfail=poweroff"
        start = qemu.DirectKernel(kernel, initrd, f"{arguments} console=ttyS0,115200n8 loglevel=6")
        with qemu.running(qemu.Guest(start, (qemu.Nic(MAC),), tmp_path / "log", memory_mb=512)) as guest:
            while (piece := guest.read(1)) != b"" and time.monotonic() < end:
                said += piece or b""
    console = said.decode(errors="replace")
    assert "could read good" in console, console[-3000:]
    assert "could read bad" not in console
    assert "Input/output error" in console, console[-3000:]
    assert "is corrupted" in console
