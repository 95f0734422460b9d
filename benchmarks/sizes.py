"""How large the default tree's artifacts are, and the base as a node sees it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from measure import Row, build, report

_MB = 1e6


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        artifacts = Path(folder)
        build(artifacts)
        build(artifacts, "--kind", "initrd", "--config-file", "vars/initrd_virt.yml")
        (squashfs,) = artifacts.glob("base.*.squashfs.img")
        (overlay,) = artifacts.glob("discovery.overlay.cpio.gz")
        virt, metal = sorted(artifacts.glob("initrd.img-*"), key=lambda path: path.stat().st_size)
        report(
            "sizes",
            [
                Row("base, mounted", _mounted_size(squashfs) / _MB, "MB", 130),
                Row("base, squashed", squashfs.stat().st_size / _MB, "MB", 48),
                Row("discovery overlay, gzipped", overlay.stat().st_size / _MB, "MB", 10),
                Row("initrd, virt", virt.stat().st_size / _MB, "MB", 4),
                Row("initrd, metal", metal.stat().st_size / _MB, "MB", 14),
            ],
        )


def _mounted_size(squashfs: Path) -> int:
    """Bytes of all files, a hard-linked one once, as `du --apparent-size` counts them on the mounted image."""
    with tempfile.TemporaryDirectory() as mount_point:
        script = 'mount -o loop,ro "$1" "$2" && du --summarize --bytes "$2"'
        command = ("unshare", "--mount", "sh", "-c", script, "sh", str(squashfs), mount_point)
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])


if __name__ == "__main__":
    main()
