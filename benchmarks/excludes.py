"""What the paths that no image unpacks would cost: each paragraph of excludes.txt, and what a build cleans away.

A base is built with nothing excluded (`!/*` keeps everything) and squashed again without the files
of one paragraph after the other.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import measure
from measure import CHECKOUT, Row, build, report

_EXCLUDES = CHECKOUT / "src/imagebuilder/plan/excludes.txt"
# udev's postinst makes the one from the other.
_COMPILED = {"usr/lib/udev/hwdb.d/20-pci-vendor-model.hwdb": "usr/lib/udev/hwdb.bin"}
_SQUASH = ("-noappend", "-no-progress", "-quiet", "-comp", "zstd", "-Xcompression-level", "15", "-b", "256K")


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        root = _everything(Path(folder))
        names = [os.path.relpath(path, root) for path in _files(root)]
        whole = _squashed(root, [])
        rows = [*_rows("nothing excluded", _size(root, names), whole)]
        for title, patterns in _paragraphs(_EXCLUDES.read_text(encoding="utf-8")):
            found = _excluded(names, patterns)
            rows += _rows(title, _size(root, found), whole - _squashed(root, found))
    report("excludes", rows)


def _rows(what: str, mounted: int, squashed: int) -> tuple[Row, Row]:
    return Row(f"{what}: mounted", mounted / 1e6, "MB"), Row(f"{what}: squashed", squashed / 1e6, "MB")


def _everything(folder: Path) -> Path:
    """The root of a base like the default one, with all that its packages bring."""
    tree = folder / "images"
    shutil.copytree(measure.TREE, tree)
    base = tree / "vars/base.yml"
    base.write_text(base.read_text(encoding="utf-8").replace("\nimage:\n", '\nimage:\n  exclude: ["!/*"]\n'))
    build(folder, "--tree", str(tree), "--kind", "base", "--config-file", "vars/base.yml")
    (image,) = folder.glob("base.*.squashfs.img")
    subprocess.run(("unsquashfs", "-q", "-n", "-d", str(folder / "root"), str(image)), check=True)
    return folder / "root"


def _files(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root):
        yield from (os.path.join(folder, name) for name in sorted(files))


def _paragraphs(text: str) -> Iterator[tuple[str, list[str]]]:
    """The paragraphs that hold patterns, each by the first sentence of its first comment."""
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        patterns = [line for line in lines if line and not line.startswith("#")]
        comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
        if patterns:
            yield comment.split(".")[0], patterns


def _excluded(names: list[str], patterns: list[str]) -> list[str]:
    kept = [pattern[2:] for pattern in patterns if pattern.startswith("!")]
    dropped = [pattern[1:] for pattern in patterns if not pattern.startswith("!")]
    found = [name for name in names if _matches(name, dropped) and not _matches(name, kept)]
    return found + [made for source, made in _COMPILED.items() if source in found]


def _matches(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _size(root: Path, names: list[str]) -> int:
    """Bytes of all files, a hard-linked one once."""
    found = {status.st_ino: status.st_size for status in ((root / name).lstat() for name in names)}
    return sum(found.values())


def _squashed(root: Path, without: list[str]) -> int:
    """Bytes of the squashfs of `root` without some files."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        names, image = Path(folder, "names"), Path(folder, "image")
        names.write_text("".join(f"{name}\n" for name in without))
        subprocess.run(("mksquashfs", str(root), str(image), *_SQUASH, "-ef", str(names)), check=True)
        return image.stat().st_size


if __name__ == "__main__":
    main()
