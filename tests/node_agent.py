"""Starts the agent of the image on this machine, in a folder of its own, with a clock that runs fast."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

PROGRAMS = Path(__file__).parents[1] / "src/imagebuilder/node/rootfs/usr/lib/on-imagebuilder"

# Says how long it was asked to sleep, and takes a nap.
_SLEEP = '#!/bin/sh\necho "$1" >>"$SLEEPS"\nexec /bin/sleep 0.02\n'
_POWER = '#!/bin/sh\necho "$1" >"$ORDERS"\n'


class Agent:
    """The agent with its state, its working folder and its kernel command line below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.command_line = folder / "cmdline"
        self.boot_env = folder / "boot.env"
        self.sleeps = folder / "sleeps"
        self.orders = folder / "orders"
        self._process: subprocess.Popen[bytes] | None = None
        self.work.mkdir()
        self._program("bin/sleep", _SLEEP)
        self._program("power", _POWER)

    def boot_with(self, arguments: str) -> None:
        """Set the kernel command line."""
        self.command_line.write_text(f"BOOT_IMAGE=vmlinuz auto=true {arguments} console=ttyS0,115200n8\n")

    def start(self) -> Agent:
        environment = {
            "PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "RUNTIME_DIRECTORY": str(self.folder / "state"),
            "BOOT_PARAMETERS": str(self.boot_env),
            "KERNEL_COMMAND_LINE": str(self.command_line),
            "AGENT_POWER": str(self.folder / "power"),
            "SLEEPS": str(self.sleeps),
            "ORDERS": str(self.orders),
        }
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAMS / "agent"],
                env=environment,
                cwd=self.work,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def wait(self, timeout: float = 20) -> int:
        """The exit status of an agent that ends by itself."""
        assert self._process is not None
        return self._process.wait(timeout)

    def stop(self) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def delays(self) -> list[str]:
        """What it asked to sleep, without the short naps while a command's output ends."""
        return [n for n in self.sleeps.read_text().split() if n != "0.02"] if self.sleeps.exists() else []

    def _program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
