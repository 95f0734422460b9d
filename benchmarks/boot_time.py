"""How long a node takes from the kernel's start to the result of its first task, in QEMU without KVM.

512 MB of RAM, one processor, direct kernel start, the cloud kernel and the virt initrd, base and discovery overlay.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path

from measure import IMAGEBUILDER, Row, build, report

_RUNS = 3
_LIMIT = 40


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        artifacts = Path(folder)
        build(artifacts, "-e", "kernel_package=linux-image-cloud-amd64")
        build(artifacts, "--kind", "initrd", "--config-file", "vars/initrd_virt.yml")
        boots = [_boot(artifacts) for _ in range(_RUNS)]
    median = sorted(boots, key=lambda boot: boot["from_kernel"])[_RUNS // 2]
    rows = [Row("kernel start to task result", median["from_kernel"], "s", _LIMIT)]
    start = next(phase["seconds"] for phase in median["phases"] if phase["name"] == "kernel")
    rows += [Row(f"  {phase['name']}", phase["seconds"] - start, "s") for phase in median["phases"]]
    report("boot_time", rows)


def _boot(artifacts: Path) -> dict[str, object]:
    options = ("--overlay", "discovery", "--memory", "512", "--accel", "tcg", "--json")
    command = (*IMAGEBUILDER, "boot", "--builds", str(artifacts), *options)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
