"""What Prometheus is told."""

from __future__ import annotations

import json
import re
import socket
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from imagebuilder.serve.metrics import Metrics
from imagebuilder.store.layout import Layout
from serving import BIG, HUGE, MAC, BootServer, blob_path, boot_server


def numbers(server: BootServer) -> dict[tuple[str, str], float]:
    """By name and by the values of its labels, each number that a server tells."""
    answer = server.get("/metrics")
    assert answer.status == 200
    families = list(text_string_to_metric_families(answer.body.decode()))
    return {
        (sample.name.removeprefix("imagebuilder_"), " ".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def layout(small_store: Layout) -> Layout:
    small_store.put(BIG)
    small_store.put(bytes(HUGE))
    return small_store


def test_what_happens_is_counted(layout: Layout) -> None:
    with boot_server(layout.root, "--image", "discovery") as server:
        script = server.get(f"/boot.ipxe?mac={MAC}").body.decode()
        server.get("/boot.ipxe?mac=525400000002")
        token = re.search(r"nb\.report=(\S+)", script)
        assert token
        record = json.dumps({"phase": "error", "ms": 1, "code": "NB-DIGEST"}).encode()
        assert server.ask("POST", token[1], record, Content_Type="application/x-ndjson").status == 204
        server.get(blob_path(BIG))
        server.get(blob_path(BIG), Range="bytes=10-19")
        server.get("/nothing")
        server.get("/a/b/c")
        found = numbers(server)
    assert found["boots_total", ""] == 2
    assert found["boot_failures_total", "NB-DIGEST"] == 1
    assert (found["nodes", "failed"], found["nodes", "script"], found["nodes", "ready"]) == (1, 1, 0)
    assert found["sent_bytes_total", ""] == len(BIG) + 10
    assert found["transfers", ""] == 0
    assert found["tasks", "queued"] == 0
    assert found["request_seconds_count", "/boot.ipxe 200"] == 2
    assert found["request_seconds_count", "/blobs/sha256/{sha256} 206"] == 1
    assert found["request_seconds_count", "/{name} 404"] == 1
    assert found["request_seconds_count", "none 404"] == 1
    assert found["process_resident_memory_bytes", ""] > 1_000_000


def test_transfer_is_open_until_it_ends_and_counts_as_far_as_it_came(layout: Layout) -> None:
    with boot_server(layout.root) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(f"GET {blob_path(bytes(HUGE))} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            connection.recv(1000)
            assert numbers(server)["transfers", ""] == 1
        deadline = time.monotonic() + 10
        while numbers(server)["transfers", ""]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert 0 < numbers(server)["sent_bytes_total", ""] < HUGE


def test_words_of_nodes_do_not_fill_the_memory() -> None:
    metrics = Metrics()
    for number in range(200):
        metrics.failed(f"NB-{number}")
    assert len(metrics._failures._metrics) == 51
