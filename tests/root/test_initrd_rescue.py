"""A shell by ssh on a node that cannot boot: for the initrd's keys, and for nobody else."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from initrd_jail import Ended, Jail, make_jail

pytestmark = pytest.mark.root

_FAILS = "API_CB=127.0.0.1:9 MANIFEST=/no nb.onfail=ssh"


def _key(path: Path) -> str:
    """Make a pair; returns the public half as authorized_keys has it."""
    made = subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", str(path)], check=True, capture_output=True, text=True
    ).stdout
    return next(line for line in made.splitlines() if line.startswith("ssh-"))


def _port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _login(port: int, key: Path, command: str) -> subprocess.CompletedProcess[str]:
    argv = ["dbclient", "-y", "-y", "-T", "-i", str(key), "-p", str(port), "root@127.0.0.1", command]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def jail(tmp_path: Path) -> Jail:
    jail = make_jail(tmp_path / "root")
    (jail.root / "root/.ssh").mkdir(parents=True)
    for name in ("passwd", "group"):
        (jail.root / "etc" / name).write_text("root:x:0:0:root:/root:/bin/sh\n" if name == "passwd" else "root:x:0:\n")
    return jail


@pytest.fixture
def served(jail: Jail, tmp_path: Path) -> Iterator[tuple[int, list[Ended]]]:
    """A node that failed and waits for root, on a port."""
    keys = jail.root / "root/.ssh/authorized_keys"
    keys.write_text(_key(tmp_path / "rescue") + "\n")
    keys.chmod(0o600)
    port, ended = _port(), list[Ended]()
    script = f"SSH_PORT={port} ROUNDS=1; main"
    node = threading.Thread(target=lambda: ended.append(jail.run(script, _FAILS)))
    node.start()
    yield port, ended
    _login(port, tmp_path / "rescue", "kill $(cat /run/imagebuilder/dropbear.pid)")
    node.join()


def _await_port(port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError


def test_key_of_the_initrd_logs_in_and_no_other(served: tuple[int, list[Ended]], tmp_path: Path) -> None:
    port, _ = served
    _await_port(port)
    done = _login(port, tmp_path / "rescue", "id -u; tail -n 1 /run/imagebuilder/record")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("0\n")
    assert '"code":"NB-FETCH"' in done.stdout
    _key(tmp_path / "other")
    other = _login(port, tmp_path / "other", "id -u")
    assert other.returncode != 0
    assert "0\n" not in other.stdout


def test_without_keys_there_is_no_ssh_and_the_node_restarts(jail: Jail) -> None:
    ended = jail.run("ROUNDS=1; main", _FAILS)
    assert ended.status == 99
    assert any("no ssh: this initrd was built without" in line for line in ended.lines)


def test_node_without_an_address_restarts(jail: Jail) -> None:
    (jail.root / "root/.ssh/authorized_keys").write_text("x\n")
    ended = jail.run("start_network() { fail NB-LINK none; }; main", _FAILS)
    assert ended.status == 99
    assert "nb: no ssh: the node has no address" in ended.lines
