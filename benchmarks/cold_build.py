"""A cold build of the default tree, by root and by an ordinary user, against the way of 2015.

2015: debootstrap, apt in the chroot, mksquashfs, mkinitramfs, cpio, one after another, with the same packages
(`cold_2015.sh`). Packages are on disk already, and the tree has a lock. All are timed in one run on one machine.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import CACHE, CHECKOUT, IMAGEBUILDER, TREE, Row, build, fresh_cache, report, seconds_of

_OLD_WAY = Path(__file__).with_name("cold_2015.sh")
_AS_NOBODY = CHECKOUT / "tests/root/as-nobody"
_RUNS = 3


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        tree = shutil.copytree(TREE, folder / "images")
        subprocess.run([*IMAGEBUILDER, "lock"], cwd=tree, check=True, capture_output=True)
        build(folder / "builds")  # packages
        folder.chmod(0o755)
        home = _home(folder / "nobody", tree)
        root, nobody = [], []
        for _ in range(_RUNS):
            root.append(_by_root(folder, tree))
            nobody.append(_by_nobody(home))
        old = seconds_of(["sh", str(_OLD_WAY), str(folder / "old"), str(CACHE / "archives")], CHECKOUT)
    cold, unprivileged = statistics.median(root), statistics.median(nobody)
    report(
        "cold_build",
        [
            Row("cold build of the default tree, with a lock", cold, "s", 30),
            Row("the same three images the way of 2015", old, "s"),
            Row("our share of that time", 100 * cold / old, "%", 25),
            Row("the same by an ordinary user", unprivileged, "s", 1.2 * cold),
        ],
    )


def _home(home: Path, tree: Path) -> Path:
    """A folder of nobody's with the tree and the machine's packages."""
    shutil.copytree(tree, home / "images")
    for part in ("apt", "archives"):
        subprocess.run(["cp", "-a", CACHE / part, home / part], check=True)
    subprocess.run(["chown", "-R", "65534:65534", home], check=True)
    return home


def _by_nobody(home: Path) -> float:
    needs = ":".join(map(str, dict.fromkeys((Path(sys.base_prefix), CHECKOUT, Path(sys.prefix)))))
    with fresh_cache(home, home) as cache:
        os.chown(cache, 65534, 65534)
        return seconds_of(
            [str(_AS_NOBODY), str(home), needs, *IMAGEBUILDER, "build", "--cache", str(cache)], home / "images"
        )


def _by_root(folder: Path, tree: Path) -> float:
    with fresh_cache(folder) as cache:
        return seconds_of([*IMAGEBUILDER, "build", "--cache", str(cache)], tree)


if __name__ == "__main__":
    main()
