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
from chromium import Page, chromium
from imagebuilder.boot.console import Console, Failed
from imagebuilder.host.qemu import HOST_ADDRESS, Guest, NetworkBoot, Nic, running
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.listing import history_of
from imagebuilder.serve.state.database import Database
from imagebuilder.store.layout import Layout
from serving import BootServer, boot_server

pytestmark = [pytest.mark.boot, pytest.mark.timeout(900)]

WATCH = """
window.states = [], window.said = [];
new MutationObserver(() => {
  const row = document.querySelector(".rows .row");
  if (row.dataset.state !== window.states.at(-1)) window.states.push(row.dataset.state);
  window.said.push(row.querySelector(".what").innerText);
}).observe(document.querySelector(".rows"), { subtree: true, childList: true, attributes: true, characterData: true });
"""
"""What keeps the states that the page shows of its only node."""
MAC = "52:54:00:00:00:07"
SECONDS = 300
NODES = f"""\
variables: {{hostname: hostname}}
profiles:
  all:
    image: discovery:stable
    arguments: console=ttyS0,115200n8 loglevel=6
    files:
      - {{dest: /etc/hostname, content: "{{{{ hostname }}}}\\n"}}
nodes:
  - {{mac: "{MAC}", profile: all, variables: {{hostname: r1n7}}}}
"""
CHANGE = Path(__file__).with_name("change.sh")
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep, linux/capability.h


@pytest.fixture(scope="module")
def server(store_of_images: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BootServer]:
    nodes = tmp_path_factory.mktemp("nodes") / "nodes.yml"
    nodes.write_text(NODES)
    with boot_server(store_of_images.root, "--nodes", nodes) as server:
        yield server


@pytest.fixture
def watcher(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "chromium") as page:
        yield page


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


def test_node_boots_from_the_server_with_its_own_files_reports_how_far_it_came_and_runs_a_command(
    server: BootServer, store_of_images: Layout, tmp_path: Path, watcher: Page
) -> None:
    script = f"http://{HOST_ADDRESS}:{server.port}/boot.ipxe"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    guest = Guest(NetworkBoot(tmp_path, script), (Nic(MAC, ssh=port),), tmp_path / "console.log", memory_mb=512)
    watcher.log_in(server.port, server.operator["Authorization"].removeprefix("Bearer "))
    watcher.run(WATCH)
    server.get(f"/boot.ipxe?mac={MAC}")  # so that there is somebody to wait for
    run = _run_and_capture(store_of_images.root, tmp_path, port)
    catalog = _verb(store_of_images, "catalog", MAC, "--renew")
    try:
        boot_until_ended([run, catalog], guest)
    finally:
        run.kill()
        catalog.kill()
    stdout, stderr = run.communicate()
    assert (run.returncode, stdout) == (0, "r1n7\n"), stderr
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
    # The page, in one document that was open all the time: states in their order, and bytes as they came.
    watcher.until("window.states.at(-1) === 'ready'")
    assert watcher.run("window.states") == ["discovered", "script", "booting", "started", "ready"]
    assert re.search(r"[0-9] MB of [0-9.]+ MB", watcher.run("window.said.join('|')"))
    assert watcher.complaints == []


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
