"""bootstrap.js in a Node.js of this machine, fed to it as the rc.local of 2015 did, with a clock that runs fast."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FAST = "var slow = setTimeout; setTimeout = function (call, ms) { return slow(call, ms / 200); };\n"


def programs() -> list[str]:
    """Node.js as Debian has it, and what IMAGEBUILDER_TEST_NODEJS adds, old ones for example."""
    return ["node", *filter(None, os.environ.get("IMAGEBUILDER_TEST_NODEJS", "").split(":"))]


@contextmanager
def started(program: str, script: str, folder: Path) -> Iterator[None]:
    """Have it run in a folder during the block."""
    folder.mkdir(exist_ok=True)
    with (folder / "agent.log").open("wb") as log:
        agent = subprocess.Popen([program], cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert agent.stdin
        agent.stdin.write((_FAST + script).encode())
        agent.stdin.close()
        try:
            yield
            assert agent.poll() is None, (folder / "agent.log").read_text()
        finally:
            agent.kill()
            agent.wait()
