"""A cold build of the default tree against the way of 2015, and as an ordinary user; packages are on disk already.

2015: debootstrap, apt in the chroot, mksquashfs, mkinitramfs, cpio, one after another, with the same packages
(`cold_2015.sh`). Both are timed in one run on one machine.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from measure import CACHE, CHECKOUT, IMAGEBUILDER, TREE, Row, build, fresh_cache, report, seconds_of

_OLD_WAY = Path(__file__).with_name("cold_2015.sh")


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        tree = shutil.copytree(TREE, folder / "images")
        subprocess.run([*IMAGEBUILDER, "lock"], cwd=tree, check=True, capture_output=True)
        build(folder / "builds")  # packages
        cold = [_cold(folder, tree) for _ in range(3)]
        old = seconds_of(["sh", str(_OLD_WAY), str(folder / "old"), str(CACHE / "archives")], CHECKOUT)
    report(
        "cold_build",
        [
            Row("cold build of the default tree, with a lock", sorted(cold)[1], "s", 30),
            Row("the same three images the way of 2015", old, "s"),
            Row("the share of that time", 100 * sorted(cold)[1] / old, "%", 25),
        ],
    )


def _cold(folder: Path, tree: Path) -> float:
    with fresh_cache(folder) as cache:
        return seconds_of([*IMAGEBUILDER, "build", "--cache", str(cache)], tree)


if __name__ == "__main__":
    main()
