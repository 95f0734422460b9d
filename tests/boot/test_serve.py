"""A node that boots from `imagebuilder serve`: its network card's iPXE fetches the script, and the rest follows."""

from __future__ import annotations

import base64
import json
import re
import shlex
import socket
import struct
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builds import PROGRAM
from imagebuilder.boot.console import Console, Failed
from imagebuilder.host.qemu import HOST_ADDRESS, Guest, NetworkBoot, Nic, running
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.listing import history_of
from imagebuilder.serve.state.database import Database
from imagebuilder.store.layout import Layout
from serving import BootServer, boot_server

pytestmark = [pytest.mark.boot, pytest.mark.timeout(900)]

MAC = "52:54:00:00:00:07"
SECONDS = 300
CHANGE = Path(__file__).with_name("change.sh")
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep, linux/capability.h


@pytest.fixture(scope="module")
def server(store_of_images: Layout) -> Iterator[BootServer]:
    arguments = ("--image", "discovery:stable", "--append", "console=ttyS0,115200n8 loglevel=6")
    with boot_server(store_of_images.root, *arguments) as server:
        yield server


def _verb(store_of_images: Layout, verb: str, *words: str) -> subprocess.Popen[str]:
    argv: list[str | Path] = [PROGRAM, verb, "--cache", store_of_images.root.parent / "cache", *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _run_and_capture(store: Path, folder: Path, port: int) -> subprocess.Popen[str]:
    """Have the node say who it is and change its files by a task, then fetch what was changed by ssh."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    tool = tarfile.TarInfo("usr/bin/tool")
    tool.pax_headers = {"SCHILY.xattr.security.capability": CAPABILITY.decode()}
    with tarfile.open(folder / "tool.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(tool)
    packed = base64.b64encode((folder / "tool.tar").read_bytes()).decode()
    look = "hostname && dmidecode --version >&2 && "
    change = look + shlex.join(["sh", "-c", CHANGE.read_text(), "sh", key.with_suffix(".pub").read_text(), packed])
    known = f"-o UserKnownHostsFile={folder}/known -o StrictHostKeyChecking=accept-new"
    place = ["--cache", f"{store.parent}/cache"]
    capture = ["capture", "mine", "--node", f"ssh://127.0.0.1:{port}", "--ssh", f"ssh -F none -i {key} {known}"]
    capture += [*place, "--store", f"{store}", "--folder", f"{folder}", "--tree", f"{folder}"]
    run = ["run", *place, "--node", MAC, "--", change]
    both = f"{PROGRAM} {shlex.join(run)} && exec {PROGRAM} {shlex.join(capture)}"
    return subprocess.Popen(both, shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def boot_until_ended(commands: list[subprocess.Popen[str]], guest: Guest) -> None:
    """Have a node up for as long as some commands take."""
    console, end = Console(), time.monotonic() + SECONDS
    with running(guest) as node:
        while any(command.poll() is None for command in commands):
            assert time.monotonic() < end, console.tail
            for event in console.feed(node.read(0.5) or b""):
                assert not isinstance(event, Failed), f"{event}\n{console.tail}"


def test_node_boots_from_the_server_reports_how_far_it_came_and_runs_a_command(
    server: BootServer, store_of_images: Layout, tmp_path: Path
) -> None:
    script = f"http://{HOST_ADDRESS}:{server.port}/boot.ipxe"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    guest = Guest(NetworkBoot(tmp_path, script), (Nic(MAC, ssh=port),), tmp_path / "console.log", memory_mb=512)
    server.get(f"/boot.ipxe?mac={MAC}")  # so that there is somebody to wait for
    run = _run_and_capture(store_of_images.root, tmp_path, port)
    catalog = _verb(store_of_images, "catalog", MAC, "--renew")
    try:
        boot_until_ended([run, catalog], guest)
    finally:
        run.kill()
        catalog.kill()
    stdout, stderr = run.communicate()
    assert (run.returncode, stdout) == (0, "monorail-micro\n"), stderr
    assert stderr.startswith("3.")
    _check_captured(store_of_images.root, tmp_path / "mine.overlay.cpio.gz", stderr)
    stdout, stderr = catalog.communicate()
    assert "QEMU" in stdout, stderr
    assert re.search(rf"^card +\w+ {MAC} UP 10\.0\.2\.15", stdout, re.MULTILINE)
    manifest = server.get("/v2/discovery/manifests/stable").headers["Docker-Content-Digest"]
    assert server.line("ready for tasks").startswith(MAC)
    assert f"{MAC} (127.0.0.1): discovery:stable {manifest}" in server.said
    with closing(Database(str(store_of_images.root.parent / "cache/serve/state.sqlite"))) as database:
        history = history_of(Identity(mac=MAC), database)
    assert [event.phase for event in history.events][:4] == ["kernel", "modules", "network", "manifest"]
    assert history.events[-1].phase == "switch"
    assert (history.boots[0].phase, history.boots[0].choice.manifest) == ("agent", manifest)


def _check_captured(store: Path, overlay: Path, said: str) -> None:
    """It has what was done, and nothing that the node does by itself; it fits the image that was booted."""
    assert "booted `discovery`: base." in said
    argv: list[str | Path] = [PROGRAM, "inspect", overlay, "--json", "--store", store]
    entries = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)["entries"]
    found = {line["path"]: line["what"] for line in entries}
    folders = {path for path, what in found.items() if what.startswith("folder ")}
    assert found.keys() - folders == {
        *("/etc/issue", "/etc/skel/mine", "/etc/ssh/authorized_keys/root", "/usr/bin/tool"),
        *(f"/etc/skel/{name}" for name in (".bash_logout", ".bashrc", ".profile")),
    }
    assert {path for path, what in found.items() if what == "whiteout"} == found.keys() - folders - {
        *("/etc/skel/mine", "/etc/ssh/authorized_keys/root", "/usr/bin/tool"),
    }
    assert found["/usr/bin/tool"].endswith(f" security.capability={CAPABILITY.hex()}")
    subprocess.run([PROGRAM, "check", overlay, "--base", "discovery:stable", "--store", store], check=True)
