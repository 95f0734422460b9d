"""The boot server's page in Chromium with 2,000 nodes, while they report: how soon it is there, how far it is behind.

Every node has booted five times before. 200 reports a second come while the page is loaded and watched. Loading is
from the click to the frame after the first rows are in the document; an update, from before a node's report is
sent until the page shows it. Claims: first paint, rows included, within 1 s; updates at most 1 s behind.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from measure import CHECKOUT, Row, report
from sqlalchemy import Connection

sys.path.insert(0, str(CHECKOUT / "tests"))

from chromium import Page, chromium
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.state import boots, nodes
from imagebuilder.serve.state.boots import Choice, Event
from imagebuilder.serve.state.database import Database
from imagebuilder.store.layout import Blob, Layout
from serving import BootServer, boot_server
from stores import add_image

NODES = 2000
BOOTS = 5
REPORTS = 200
LOADS = 7
UPDATES = 30
_PHASES = (*("kernel", "modules", "network", "manifest", "memory"), *("fetch", "digest") * 2, "mount", "switch")
_WHEN_THERE = """
new MutationObserver((_, watcher) => {
  if (!document.querySelector(".rows .row")) return;
  watcher.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.there = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
_WHEN_SEEN = """
window.seen = {};
new MutationObserver(() => {
  const said = document.querySelector(".rows .row .what").textContent.match(/probe-[0-9]+/);
  if (said) window.seen[said[0]] ??= Date.now() / 1000;
}).observe(document.querySelector(".rows"), { childList: true, subtree: true, characterData: true });
"""


def _fill(connection: Connection, manifest: Blob, now: int) -> list[str]:
    """All nodes with their boots; the token of the last boot of each."""
    choice, tokens = Choice("default", "discovery:latest", manifest.digest), []
    for number in range(NODES):
        mac = f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"
        identity = Identity(mac=mac, vendor="Acme", model="Rocket 9", serial=f"S{number}")
        node = nodes.see(connection, identity, f"10.0.{number >> 8}.{number & 255}", now)
        for past in range(BOOTS, -1, -1):
            token = boots.begin(connection, node.id, choice, now - past * 3600)
            boot = boots.of_token(connection, token)
            assert boot
            events = [Event(phase, 1000 * n, 4_000_000) for n, phase in enumerate(_PHASES)] if past else []
            boots.report(connection, boot, events, now - past * 3600 + 20)
        tokens.append(token)
    return tokens


def _record(phases: list[str]) -> bytes:
    return b"".join(json.dumps({"phase": phase, "ms": n * 900}).encode() + b"\n" for n, phase in enumerate(phases))


def _send(connection: HTTPConnection, token: str, body: bytes) -> None:
    connection.request("POST", f"/report/{token}", body, {"Content-Type": "application/x-ndjson"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 204


def _report_on(server: BootServer, tokens: list[str], stopped: threading.Event) -> None:
    """All nodes go through their phases, again and again with longer records."""
    connection, began = HTTPConnection("127.0.0.1", server.port), time.monotonic()
    for count in itertools.count():
        if stopped.wait(max(0.0, began + count / REPORTS - time.monotonic())):
            return
        done = count // len(tokens) + 1
        _send(connection, tokens[count % len(tokens)], _record([*_PHASES, *("again",) * done][:done]))


def _loads(page: Page, server: BootServer) -> list[float]:
    page.call("Page.addScriptToEvaluateOnNewDocument", {"source": _WHEN_THERE})
    found = []
    for _ in range(LOADS):
        page.open("about:blank")
        page.open(f"http://127.0.0.1:{server.port}/")
        page.until("window.there")
        found.append(page.run("window.there") / 1000)
    return found


def _lags(page: Page, server: BootServer, token: str) -> list[float]:
    connection, phases, found = HTTPConnection("127.0.0.1", server.port), [], []
    page.run(_WHEN_SEEN)
    for number in range(UPDATES):
        phases.append(f"probe-{number}")
        sent = time.time()
        _send(connection, token, _record(phases))
        page.until(f"window.seen['probe-{number}']")
        found.append(page.run(f"window.seen['probe-{number}']") - sent)
        time.sleep(0.137)
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = Layout(folder / "store")
        layout.prepare()
        manifest = add_image(layout, "discovery:latest", "overlay")
        state = folder / "state.sqlite"
        database = Database(str(state))
        tokens = database.do(partial(_fill, manifest=manifest, now=int(time.time())))
        database.close()
        stopped = threading.Event()
        with (
            boot_server(layout.root, "--image", "discovery", "--state", state) as server,
            chromium(folder / "user") as page,
        ):
            page.resize(1400, 900)
            page.log_in(server.port, server.operator["Authorization"].removeprefix("Bearer "))
            nodes_report = threading.Thread(target=_report_on, args=(server, tokens[1:], stopped))
            nodes_report.start()
            try:
                loads, lags = _loads(page, server), _lags(page, server, tokens[0])
            finally:
                stopped.set()
                nodes_report.join()
    rows = [
        Row(f"{NODES} nodes, first rows painted, median of {LOADS}", statistics.median(loads), "s", 1),
        Row("the slowest", max(loads), "s", 1),
        Row(f"an update, {REPORTS} reports a second, median of {UPDATES}", statistics.median(lags), "s", 1),
        Row("the slowest", max(lags), "s", 1),
    ]
    report("status_page", rows)


if __name__ == "__main__":
    main()
