"""A node that boots from `imagebuilder serve`: its network card's iPXE fetches the script, and the rest follows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagebuilder.boot.artifacts import Selection, select
from imagebuilder.boot.console import Console, Failed, Said
from imagebuilder.host.qemu import HOST_ADDRESS, Guest, NetworkBoot, Nic, running
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.listing import history_of
from imagebuilder.serve.state.database import Database
from imagebuilder.store.layout import Layout
from serving import BootServer, boot_server
from stores import add_artifacts

pytestmark = [pytest.mark.boot, pytest.mark.timeout(900)]

MAC = "52:54:00:00:00:07"
SECONDS = 300


@pytest.fixture(scope="module")
def layout(built_images: Path, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("serve") / "store")
    layout.prepare()
    add_artifacts(layout, "discovery:stable", select(built_images, Selection(overlays=("discovery",))))
    return layout


@pytest.fixture(scope="module")
def server(layout: Layout) -> Iterator[BootServer]:
    arguments = ("--image", "discovery:stable", "--append", "console=ttyS0,115200n8 loglevel=6")
    with boot_server(layout.root, *arguments) as server:
        yield server


def boot_until(phase: str, guest: Guest) -> list[Said]:
    """What a node says on its console until it has reached a phase."""
    console, said, end = Console(), [], time.monotonic() + SECONDS
    with running(guest) as node:
        while time.monotonic() < end:
            for event in console.feed(node.read(1) or b""):
                assert not isinstance(event, Failed), f"{event}\n{console.tail}"
                said.append(event)
                if event.name == phase:
                    return said
    raise AssertionError(f"no phase {phase} in {SECONDS} s:\n{console.tail}")


def test_node_boots_from_the_server_and_reports_how_far_it_came(
    server: BootServer, layout: Layout, tmp_path: Path
) -> None:
    script = f"http://{HOST_ADDRESS}:{server.port}/boot.ipxe"
    guest = Guest(NetworkBoot(tmp_path, script), (Nic(MAC),), tmp_path / "console.log", memory_mb=512)
    said = boot_until("switch", guest)
    manifest = server.get("/v2/discovery/manifests/stable").headers["Docker-Content-Digest"]
    assert f"{manifest} with 2 layers" in [event.detail for event in said if event.name == "manifest"]
    assert f"{MAC} (127.0.0.1): discovery:stable {manifest}" == server.line(MAC)
    history = history_of(Identity(mac=MAC), Database(str(layout.root.parent / "cache/serve/state.sqlite")))
    assert [event.phase for event in history.events][:3] == ["kernel", "modules", "network"]
    assert history.events[-1].phase == history.boots[0].phase == "switch"
    assert history.boots[0].choice.manifest == manifest
