"""The parts of the initrd's /init, run by busybox as on a node, with what would restart the machine left out."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

from imagebuilder.steps import libraries

PARTS = Path(__file__).parents[1] / "src/imagebuilder/node/initrd/usr/lib/imagebuilder"
FAILED = 99

# Pauses between tries are short here; a server counts as silent after one second.
_LOAD = """
set -u
RUN=$1
for part in report record arguments modules network ipv6 fetch trust manifest nodelayer cache memory layers databases \
    handover; do
    . "$2/$part.sh"
done
STALL=1
log() { echo "nb: $2"; }
fail() { log 3 "error=$1 detail=$2"; exit 99; }
sleep() { case $1 in 1) command sleep 1 ;; *) command sleep 0.05 ;; esac; }
"""


def run_shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `script` after all parts were read; `folder` stands for /run/imagebuilder."""
    argv = ["busybox", "sh", "-c", _LOAD + script, "sh", str(folder), str(PARTS)]
    env = {"PATH": f"{applets()}:/usr/bin:/bin"}
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=env)


def make_root(root: Path) -> None:
    """Make a root like the initrd's: its folders, busybox with this machine's libraries, and our part."""
    for name in ("dev", "jail", "layers", "newroot", "proc", "run", "usr/bin", "usr/lib", "usr/lib64"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    for place, file in libraries.closure(Path("/"), ["busybox"]).items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / place)
    for applet in applets().iterdir():
        (root / "usr/bin" / applet.name).symlink_to("busybox") if applet.name != "busybox" else None
    shutil.copytree(PARTS, root / "usr/lib/imagebuilder")


@functools.cache
def applets() -> Path:
    """A folder with all of busybox's applets: the node has no others."""
    folder = Path(tempfile.mkdtemp(prefix="applets-"))
    listed = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout
    busybox = subprocess.run(["which", "busybox"], capture_output=True, text=True, check=True).stdout.strip()
    for name in listed.split():
        (folder / name).symlink_to(busybox)
    return folder


def quoted(text: str) -> str:
    """`text` as one word of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"
