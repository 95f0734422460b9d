"""The flight recorder: what the server hears of a boot, and that a boot does not wait for it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from hostile import Hostile, Trouble, hostile
from initrd_jail import Ended, Image, Jail

pytestmark = pytest.mark.root

MANIFEST = "/discovery.manifest.json"
DEAD = "127.0.0.1:9"


def _boot(jail: Jail, server: Hostile, report: str, manifest: str = MANIFEST) -> Ended:
    return jail.boot(f"API_CB={server.address} MANIFEST={manifest} nb.report={report}")


def _records(server: Hostile) -> list[dict[str, Any]]:
    """The lines of the record that came last."""
    bodies = [body for kind, body in server.posted if kind == "application/x-ndjson"]
    return [json.loads(line) for line in bodies[-1].splitlines()]


def test_every_phase_is_reported_with_bytes_and_retries(initrd_jail: Jail, initrd_image: Image) -> None:
    troubles = {"/base.squashfs.img": Trouble(sent=100_000)}
    with hostile(initrd_image.files, troubles) as server:
        assert _boot(initrd_jail, server, "/report/1").code == "booted"
        records = _records(server)
    phases = [r["phase"] for r in records]
    assert phases[:5] == ["kernel", "modules", "network", "manifest", "memory"]
    assert sorted(phases[5:9]) == ["digest", "digest", "fetch", "fetch"]  # side by side
    assert phases[9:] == ["mount", "switch"]
    (base,) = (r for r in records if r["phase"] == "fetch" and "base" in r["detail"])
    assert (base["bytes"], base["retries"]) == (len(initrd_image.files["/base.squashfs.img"]), 4)
    assert records[-1]["manifest"].startswith("sha256:")
    assert {r["node"] for r in records[2:]} == {"52:54:00:12:34:56"}


def test_failure_is_reported_with_its_code_and_the_log(initrd_jail: Jail, initrd_image: Image) -> None:
    with hostile(initrd_image.files) as server:
        assert _boot(initrd_jail, server, "/report", "/no\\such.json").code == "NB-NOT-FOUND"
        deadline = time.monotonic() + 5
        while not [kind for kind, _ in server.posted if kind == "text/plain"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert ("text/plain", b"the log\n") in server.posted
        last = _records(server)[-1]
    assert (last["phase"], last["code"]) == ("error", "NB-NOT-FOUND")


@pytest.mark.parametrize("trouble", [None, Trouble(status=404), Trouble(status=500), Trouble(silent=20)])
def test_server_that_does_not_hear_delays_a_boot_by_a_second_at_most(
    initrd_jail: Jail, initrd_image: Image, trouble: Trouble | None
) -> None:
    with hostile(initrd_image.files, {"/report": trouble} if trouble else {}) as server:
        plain = _boot(initrd_jail, server, "")
        other = _boot(initrd_jail, server, "/report" if trouble else f"http://{DEAD}/report")
    assert (plain.code, other.code) == ("booted", "booted")
    assert other.seconds < plain.seconds + 1 + 2  # two for a busy machine
