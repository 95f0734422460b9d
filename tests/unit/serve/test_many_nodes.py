"""Many nodes at once, and the server killed while they boot: all of them get ready, and nothing is forgotten."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from pathlib import Path

from fleet import Fleet, order_commands
from imagebuilder.serve.state.database import Database
from imagebuilder.store.layout import Layout
from serving import boot_server
from stores import add_random_image
from wire import Bucket, Wire

NODES = 20
SIZES = (20_000, 20_000, 12_000_000, 300_000)  # more than the kernel holds for a connection


def test_nodes_get_ready_although_the_server_is_killed_half_way(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "store")
    layout.prepare()
    per_node = add_random_image(layout, "discovery:latest", SIZES)
    with closing(Database(str(tmp_path / "cache/serve/state.sqlite"))) as database:
        order_commands(database, NODES)
        fleet = asyncio.run(_boot_and_kill(layout, NODES * per_node // 2))
        assert fleet.failures() == []
        assert fleet.forgotten(database) == []
    assert any(node.retries or node.boots > 1 for node in fleet.nodes)
    assert sum(len(node.ran) for node in fleet.nodes) > NODES


async def _boot_and_kill(layout: Layout, moved: int) -> Fleet:
    """Kill the server when so many bytes have come, and start it again."""
    with ExitStack() as stack:
        server = stack.enter_context(boot_server(layout.root, "--image", "discovery"))
        wire = Wire(server.port, Bucket(300e6), hashed=True)
        fleet = Fleet(wire, NODES, hurry=20)
        boot = asyncio.create_task(fleet.boot())
        while wire.moved < moved:
            await asyncio.sleep(0.01)
        server.process.kill()
        again = boot_server(layout.root, "--image", "discovery", "--port", wire.port)
        await asyncio.to_thread(stack.enter_context, again)
        await boot
    return fleet
