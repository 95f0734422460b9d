"""The node's scripts that touch what a test must not: run in a mount namespace with that part of the machine faked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from node_agent import PROGRAMS

pytestmark = pytest.mark.root

RC_LOCAL = PROGRAMS.parents[2] / "etc/rc.local"

# Nothing of the real /proc may be left when `power` writes to its triggers.
_FAKE_PROC = """
set -eu
mount -t tmpfs fake /proc
mkdir -p /proc/sys/kernel
echo 0 >/proc/sys/kernel/sysrq
: >/proc/sysrq-trigger
[ ! -e /proc/self ]
PATH=$1:$PATH "$2" "$3" 2>/dev/null
cat /proc/sys/kernel/sysrq /proc/sysrq-trigger
"""
_FAKE_OPT = """
set -eu
mount -t tmpfs fake /opt
cd /opt
eval "$3"
PATH=$1:$PATH "$2"
"""


def _isolated(script: str, *arguments: str | Path) -> list[str]:
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def _program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    _program(tmp_path, "sleep", ":")
    _program(tmp_path, "sync", ":")
    _program(tmp_path, "systemctl", 'echo "systemctl $*"')
    return tmp_path


def test_reset_is_the_kernels(programs: Path) -> None:
    assert _isolated(_FAKE_PROC, programs, PROGRAMS / "power", "reset") == ["1", "b"]


def test_cycle_is_asked_of_the_bmc(programs: Path) -> None:
    _program(programs, "ipmitool", 'echo "ipmitool $*"')
    assert _isolated(_FAKE_PROC, programs, PROGRAMS / "power", "cycle")[0] == "ipmitool -I open chassis power cycle"


def test_cycle_is_a_reset_where_the_bmc_does_not_do_it(programs: Path) -> None:
    _program(programs, "ipmitool", "exit 1")
    assert _isolated(_FAKE_PROC, programs, PROGRAMS / "power", "cycle") == ["1", "b"]


_A_FOLDER = """
mkdir rc.local.hooks
for name in 20-b.sh 10-a not-executable; do printf '#!/bin/sh\\necho %s\\n' "$name" >"rc.local.hooks/$name"; done
chmod +x rc.local.hooks/[12]*
"""
START = "systemctl start --no-block on-imagebuilder-agent.service"


@pytest.mark.parametrize(
    ("hooks", "said"),
    [
        ("", []),
        ("printf '#!/bin/sh\\necho hook\\n' >rc.local.hooks; chmod +x rc.local.hooks", ["hook"]),
        ("echo 'echo a hook of 2015' >rc.local.hooks; chmod +x rc.local.hooks", ["a hook of 2015"]),
        ("echo 'echo x' >rc.local.hooks", []),
        ("printf '#!/bin/sh\\nexit 3\\n' >rc.local.hooks; chmod +x rc.local.hooks", []),
        (_A_FOLDER, ["10-a", "20-b.sh"]),
    ],
    ids=["none", "a program", "without an interpreter line", "not executable", "one that fails", "a folder"],
)
def test_hooks_run_before_the_agent_starts(programs: Path, hooks: str, said: list[str]) -> None:
    assert _isolated(_FAKE_OPT, programs, RC_LOCAL, hooks) == [*said, START]
