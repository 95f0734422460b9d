"""Work in a private namespace: its end is told, and with it ends all that it started or mounted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

# A namespace is made once a process: each test needs a program of its own.
PROGRAM = """\
import os, signal, subprocess, sys, time
from pathlib import Path
from imagebuilder.cli.render import rendered
from imagebuilder.host.mounts import mounted
from imagebuilder.host.namespace import run_private

def say(*what):
    print(*what, flush=True)

def work():
    with mounted("tmpfs", Path({folder!r}), "tmpfs"):
{work}
    return 0

status = rendered(lambda: run_private(work))
with open({folder!r} + "-ended", "a") as ended:
    ended.write("once")
say("status", status)
sys.exit(status)
"""


def _program(folder: Path, work: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    lines = "".join(f"        {line}\n" for line in work.splitlines())
    text = PROGRAM.format(folder=str(folder / "mounted"), work=lines)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    argv = [sys.executable, "-c", text]
    return subprocess.Popen(argv, stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment)


def _ended(folder: Path, work: str) -> tuple[int, str, str]:
    with _program(folder, work) as process:
        out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def _is_gone(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("status", [0, 3])
def test_status_is_the_one_that_work_returns(tmp_path: Path, status: int) -> None:
    assert _ended(tmp_path, f"return {status}") == (status, f"status {status}\n", "")


def test_work_is_alone_with_its_processes_and_mounts(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    work = "say(os.getpid(), sorted(p for p in os.listdir('/proc') if p.isdigit()))\n"
    work += "say(Path('/proc/self/mounts').read_text().count('/mounted'), oct(os.umask(0)))"
    status, out, _ = _ended(tmp_path, work)
    assert (status, out.splitlines()[:2]) == (0, ["1 ['1']", "1 0o22"])
    assert Path("/proc/self/mounts").read_text() == mounts


def test_output_arrives_once(tmp_path: Path) -> None:
    assert _ended(tmp_path, "print('from work')") == (0, "from work\nstatus 0\n", "")


def test_bug_is_shown_and_ends_the_program(tmp_path: Path) -> None:
    status, out, err = _ended(tmp_path, "1 / 0")
    assert (status, out) == (1, "status 1\n")
    assert "ZeroDivisionError" in err


def test_killed_work_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    # Process 1 of a namespace is deaf to its own signals: what kills it comes from outside.
    with _program(tmp_path, "say(os.readlink('/proc/thread-self'))\ntime.sleep(60)") as process:
        assert process.stdout
        process.stdout.readline()
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "status 1\n")
    assert "error: the build was killed by SIGKILL\nhint: `dmesg` says" in err


SLEEPERS = (
    "subprocess.Popen(['sleep', '600'])\nsubprocess.Popen(['setsid', 'sleep', '600'])\nsay('ready')\ntime.sleep(600)"
)


def _descendants(pid: int) -> list[int]:
    children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return children + [grandchild for child in children for grandchild in _descendants(child)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_all_that_work_started_ends_with_it(tmp_path: Path, number: signal.Signals) -> None:
    with _program(tmp_path, SLEEPERS) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        started = _descendants(process.pid)
        assert len(started) >= 3
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert all(map(_is_gone, started))
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert f"error: stopped by {number.name}; nothing is left behind" in err


def test_work_never_comes_back_into_the_program_even_when_nobody_reads_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with _program(tmp_path, "print('x')", stdout=write) as process:
        os.close(write)
        process.communicate(timeout=30)
    assert (tmp_path / "mounted-ended").read_text() == "once"
