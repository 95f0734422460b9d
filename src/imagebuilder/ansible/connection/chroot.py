"""Ansible connection into a chroot on this machine, made ready by the build.

The host's name is the root's absolute path, as in the inventories of 2015. The
environment of the root (apt's configuration among it) comes as JSON in
IMAGEBUILDER_CHROOT_ENVIRONMENT.

Files are copied by programs of the image, started inside the root: the kernel
resolves every symlink there, so none leads out.
"""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.connection import ConnectionBase

from imagebuilder.host.command import Command, spawn


class Connection(ConnectionBase):
    """Programs and files in the root at `remote_addr`."""

    transport = "chroot"
    has_pipelining = True
    default_user = "root"

    def _connect(self) -> Connection:
        self._connected = True
        return self

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a shell command line; returns exit status, standard output and standard error."""
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        process = spawn(self._command("/bin/sh", "-c", cmd), stdin=-1)
        stdout, stderr = process.communicate(in_data)
        return process.returncode, stdout, stderr

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the build host into the root."""
        super().put_file(in_path, out_path)
        with open(in_path, "rb") as source:
            process = spawn(self._command("dd", f"of={out_path}", "bs=1M", "status=none"), stdin=source)
            _, stderr = process.communicate()
        if process.returncode:
            raise AnsibleError(f"cannot write {shlex.quote(out_path)} in the image: {stderr.decode(errors='replace')}")

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the root to the build host."""
        super().fetch_file(in_path, out_path)
        with open(out_path, "wb") as target:
            process = spawn(self._command("cat", "--", in_path), stdout=target)
            _, stderr = process.communicate()
        if process.returncode:
            raise AnsibleError(f"cannot read {shlex.quote(in_path)} in the image: {stderr.decode(errors='replace')}")

    def close(self) -> None:
        """Nothing stays open."""
        self._connected = False

    def reset(self) -> None:
        """Nothing is kept that could be reset."""

    def _command(self, *argv: str) -> Command:
        environment = json.loads(os.environ["IMAGEBUILDER_CHROOT_ENVIRONMENT"])
        return Command(argv, env=environment, root=Path(self._play_context.remote_addr))
