"""A PostgreSQL of the tests' own, on a socket in a folder, as its own user."""

from __future__ import annotations

import itertools
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgresql(folder: Path) -> Iterator[Callable[[], str]]:
    """Start one that keeps everything in `folder`; yields what makes a database and returns its URL. Needs root."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    user = pwd.getpwnam("postgres")
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode | 0o111)  # the server's user has to come here
        if path.name.startswith("pytest-of-"):
            break
    os.chown(folder, user.pw_uid, user.pw_gid)
    become = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def run(*argv: object) -> None:
        done = subprocess.run([*become, *map(str, argv)], check=False, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, f"{argv}: {done.stderr}"

    run(programs / "initdb", "--auth=trust", "--no-sync", folder / "data")
    options = ["-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]
    argv = [*become, programs / "postgres", "-D", folder / "data", *options]
    with subprocess.Popen(list(map(str, argv)), cwd="/", stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 30
            while not list(folder.glob(".s.PGSQL.*")):
                assert process.poll() is None, "PostgreSQL did not start"
                assert time.monotonic() < end
                time.sleep(0.05)
            names = (f"test{number}" for number in itertools.count())

            def new_database() -> str:
                name = next(names)
                run(programs / "createdb", "--template=template0", "-h", folder, "-U", "postgres", name)
                return f"postgresql://postgres@/{name}?host={folder}"

            yield new_database
        finally:
            process.send_signal(signal.SIGINT)  # it would wait for its clients otherwise
