"""2,000 simulated nodes boot at once from `imagebuilder serve`, over 10 Gbit/s in all; then again, with a kill -9.

They speak the real protocol (tests/fleet.py): boot scripts, kernel and initrd, manifest, layers, records, tasks. The
server runs on the first core, all nodes in one process on the others. Claims: no node fails, and nothing that the
server had acknowledged before the kill -9 is gone after it; no task runs twice.
"""

from __future__ import annotations

import asyncio
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import CHECKOUT, IMAGEBUILDER, Row, report

sys.path.insert(0, str(CHECKOUT / "tests"))

from fleet import Fleet, order_commands
from imagebuilder.serve.state.database import Database
from imagebuilder.store.layout import Layout
from stores import add_random_image
from wire import Bucket, Wire

NODES = int(os.environ.get("NODES", "2000"))
BYTES_PER_SECOND = 10e9 / 8
SIZES = (8_250_000, 12_900_000, 40_000_000, 7_000_000)
"""Kernel, initrd for real machines, base, overlay."""
PORT = 18090


class Server:
    """`imagebuilder serve` on the first core."""

    def __init__(self, folder: Path) -> None:
        argv = [*IMAGEBUILDER, "serve", "--image", "discovery", "--bind", "127.0.0.1", "--port", str(PORT)]
        argv += ["--store", str(folder / "store"), "--cache", str(folder / "cache")]
        self.process = subprocess.Popen(["taskset", "-c", "0", *argv], stderr=(folder / "said").open("a"))

    def seconds(self) -> float:
        """Of CPU, so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def most_memory(self) -> int:
        """Resident bytes, at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


async def listening() -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


class Run:
    """One boot of all nodes; how long the last one took, what the server spent."""

    def __init__(self, folder: Path, per_node: int) -> None:
        self.folder, self.per_node = folder, per_node
        self.fleet = Fleet(Wire(PORT, Bucket(BYTES_PER_SECOND)), NODES)
        self.server_seconds = 0.0
        self.memory = 0
        self.downtime = 0.0

    async def go(self, *, killed: bool) -> None:
        server = Server(self.folder)
        try:
            await listening()
            boot = asyncio.create_task(self.fleet.boot())
            if killed:
                while self.fleet.wire.moved < NODES * self.per_node / 2:
                    await asyncio.sleep(0.05)
                self._account(server)
                server.kill()
                began, server = time.monotonic(), Server(self.folder)
                await listening()
                self.downtime = time.monotonic() - began
            await boot
            self._account(server)
        finally:
            server.kill()

    def _account(self, server: Server) -> None:
        self.server_seconds += server.seconds()
        self.memory = max(self.memory, server.most_memory())

    def problems(self) -> list[str]:
        """Failed nodes, tasks that ran twice, what was forgotten."""
        database = Database(str(self.folder / "cache/serve/state.sqlite"))
        try:
            return self.fleet.failures() + self.fleet.forgotten(database)
        finally:
            database.close()

    def rows(self, name: str) -> list[Row]:
        """What there is to say of it."""
        for problem in (problems := self.problems())[:5]:
            print(problem, file=sys.stderr)
        ready = [node.ready for node in self.fleet.nodes if node.ready is not None]
        percentiles = statistics.quantiles(ready, n=100)
        return [
            Row(f"{name}: nodes that failed, tasks that ran twice, acknowledged and forgotten", len(problems), "", 0),
            Row(f"{name}: half of the nodes ready after", percentiles[49], "s"),
            Row(f"{name}: 99 % of the nodes ready after", percentiles[98], "s"),
            Row(f"{name}: the last node ready after", max(ready), "s"),
            Row(f"{name}: bytes a node", self.fleet.wire.moved / NODES / 1e6, "MB"),
            Row(f"{name}: the wire alone takes", self.fleet.wire.moved / BYTES_PER_SECOND, "s"),
            Row(f"{name}: CPU of the server", self.server_seconds, "s"),
            Row(f"{name}: CPU of the server a node", self.server_seconds / NODES * 1000, "ms"),
            Row(f"{name}: memory of the server, at most", self.memory / 1e6, "MB"),
        ]


def main() -> None:
    os.sched_setaffinity(0, set(range(1, os.cpu_count() or 1)) or {0})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        layout = Layout(folder / "store")
        layout.prepare()
        per_node = add_random_image(layout, "discovery:latest", SIZES)
        rows = []
        for title in ("boot", "boot with kill -9"):
            database = Database(str(folder / "cache/serve/state.sqlite"))
            order_commands(database, NODES)
            database.close()
            run, began = Run(folder, per_node), os.times()
            asyncio.run(run.go(killed=bool(rows)))
            ended = os.times()
            rows += run.rows(title)
            own = ended.user + ended.system - began.user - began.system
            rows.append(Row(f"{title}: CPU of the simulation", own, "s"))
    report("simulated_nodes", rows)


if __name__ == "__main__":
    main()
