"""What is changed on a node, fetched by ssh: booted again with it, the node is the same."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builds import PROGRAM
from imagebuilder.boot.artifacts import Artifacts
from imagebuilder.digest import of_file
from imagebuilder.steps.overlay import PackOverlay
from imagebuilder.store.layout import Layout
from layer_node import Node, node, view
from machine import PlainMachine
from root.steps.test_layer_properties import ACL, CAPABILITY
from stores import add_artifacts

pytestmark = pytest.mark.root

LATER = 1 << 31
VOLATILE = ("var/log/syslog", "etc/hostname", "tmp/x")

# The node's own /run, and this machine's programs, for the jail has only an initrd's.
_SERVE = """
mount --rbind /mnt/run /run
mount -t tmpfs -o mode=0700 tmpfs /root
mkdir /root/.ssh
cp "$1.pub" /root/.ssh/authorized_keys
exec dropbear -F -E -s -r "$2" -P /run/dropbear.pid -p "127.0.0.1:$3"
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A node that booted an image of a store, and the words that reach it."""

    node: Node
    folder: Path
    layers: tuple[Path, Path]
    reach: tuple[str, ...]

    def capture(self, *words: str) -> subprocess.CompletedProcess[str]:
        place = ("--folder", self.folder, "--tree", self.folder, "--cache", self.folder / "cache")
        argv: list[str | Path] = [PROGRAM, "capture", "mine", *self.reach, *place, *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def _make_layers(folder: Path) -> tuple[Path, Path]:
    """A base with what is changed later, and an overlay on it."""
    base, upper = folder / "base", folder / "upper"
    for name in ("etc/issue", "etc/taken/a", "etc/taken/b", "usr/bin/tool", "opt/old/deep/x", "var/log/boot"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    (base / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (upper / "etc").mkdir(parents=True)
    (upper / "etc/overlay").write_text("of the overlay")
    (upper / "etc/gone-again").write_text("of the overlay")
    (folder / "scratch").mkdir()
    packed = folder / "base.squashfs.img"
    argv = ("mksquashfs", base, packed, "-quiet", "-no-progress", "-comp", "lz4")
    subprocess.run(argv, check=True, capture_output=True)
    inputs = {"lower": (base,), "upper": (upper,)}
    overlay = folder / "tools.overlay.cpio.gz"
    PackOverlay("cpio.gz", LATER).run(PlainMachine(folder / "scratch"), inputs, overlay)
    return packed, overlay


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    base, overlay = _make_layers(tmp_path)
    for name in ("vmlinuz", "initrd"):
        (tmp_path / name).write_text(name)
    layout = Layout(tmp_path / "cache/store")
    layout.prepare()
    add_artifacts(layout, "tools:stable", Artifacts(tmp_path, "vmlinuz", "initrd", base.name, (overlay.name,)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    key, host_key = tmp_path / "key", tmp_path / "host_key"
    subprocess.run(["dropbearkey", "-t", "ed25519", "-f", host_key], check=True, capture_output=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    ssh = f"ssh -F none -i {key} -o UserKnownHostsFile={tmp_path}/known -o StrictHostKeyChecking=accept-new"
    with node(tmp_path / "jail") as booted:
        facts = f"sha256_0={of_file(base)} name_0={base.name} sha256_1={of_file(overlay)} name_1=/common/{overlay.name}"
        booted.stack(base, overlay, then=f"{facts}; touch $RUN/boot.env; show_changes")
        enter = ("nsenter", "--mount", f"--target={booted.shell.pid}", "unshare", "--mount", "sh", "-ec", _SERVE, "sh")
        with subprocess.Popen((*enter, str(key), str(host_key), str(port))) as sshd:
            _await(port)
            yield Site(booted, tmp_path, (base, overlay), ("--node", f"ssh://127.0.0.1:{port}", "--ssh", ssh))
            sshd.terminate()


def _await(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError


def _change(root: Path) -> None:
    (root / "etc/issue").unlink()
    (root / "etc/gone-again").unlink()
    (root / "etc/overlay").write_text("changed")
    shutil.rmtree(root / "etc/taken")
    (root / "etc/taken").mkdir()
    (root / "etc/taken/b").write_text("new")
    shutil.rmtree(root / "opt/old")
    (root / "opt/old").symlink_to("/usr")
    (root / "usr/bin/ping").write_text("ping")
    os.setxattr(root / "usr/bin/ping", "security.capability", CAPABILITY)
    os.setxattr(root / "etc/taken/b", "system.posix_acl_access", ACL)
    os.link(root / "usr/bin/ping", root / "usr/bin/ping4")
    os.chown(root / "usr/bin/ping", 5, 4_000_000_000)
    Path(os.fsdecode(os.fsencode(root) + b"/opt/not \xff utf-8\n")).write_text("x")
    with (root / "opt/holes").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(5 << 20)
        file.write(b"in the middle")
    with (root / "etc/passwd").open("a") as file:
        file.write("mine:x:7:7::/:/bin/sh\n")
    for name in VOLATILE:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("volatile")


def test_node_is_the_same_when_it_boots_with_what_was_captured(site: Site) -> None:
    root = site.node.root / "newroot"
    _change(root)
    expected = view(root, LATER)
    done = site.capture()
    assert done.returncode == 0, done.stderr
    assert "booted `tools`: base.squashfs.img, /common/tools.overlay.cpio.gz" in done.stderr
    mine = site.folder / "mine.overlay.cpio.gz"
    again = view(site.node.stack(*site.layers, mine), LATER)
    left_out = {os.fsencode(name) for name in (*VOLATILE, "tmp")}
    assert again.keys() == expected.keys() - left_out
    # Times of folders in which something was left out are as before.
    assert {name: seen for name, seen in again.items() if name not in (b"var/log", b"etc", b"var")} == {
        name: seen for name, seen in expected.items() if name in again and name not in (b"var/log", b"etc", b"var")
    }

    argv: list[str | Path] = [
        PROGRAM,
        "check",
        mine,
        "--base",
        "tools:stable",
        "--cache",
        site.folder / "cache",
        "--json",
    ]
    checked = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["fits"] is True
    assert "base: tools" in (site.folder / "vars/mine.yml").read_text()


def test_login_that_fails_and_a_node_of_an_old_initrd_are_told(site: Site) -> None:
    site.node.run("rm $RUN/stack")
    done = site.capture()
    assert (done.returncode, "its initrd is older than this verb" in done.stderr) == (2, True)
    (site.folder / "key").unlink()
    done = site.capture()
    assert (done.returncode, "cannot be reached by ssh" in done.stderr) == (1, True)
    assert not (site.folder / "mine.overlay.cpio.gz").exists()
    assert not (site.folder / "vars").exists()
