"""Ten overlays of 5 MB on one base: do artifacts take more room than the base and what the overlays hold?"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import IMAGEBUILDER, Row, report

_OVERLAYS, _BYTES = 10, 5_000_000
_WRAPPER = "- import_playbook: common/{}_wrapper.yml\n  vars: {{config_file: vars/{}.yml}}\n"


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        tree = Path(name) / "tree"
        _write_tree(tree)
        done = subprocess.run((*IMAGEBUILDER, "build"), cwd=tree, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        disk = {path.name: path.stat().st_blocks * 512 / 1e6 for path in (tree / "builds").iterdir()}
    base = sum(size for name, size in disk.items() if name.startswith("base."))
    whole = sum(disk.values())
    report(
        "overlay_sizes",
        [
            Row("base", base, "MB"),
            Row(f"{_OVERLAYS} overlays", whole - base, "MB"),
            Row("all, by base and contents", whole / (base + _OVERLAYS * _BYTES / 1e6), "x", 1.01),
        ],
    )


def _write_tree(tree: Path) -> None:
    for name in ("vars", "group_vars", "files"):
        (tree / name).mkdir(parents=True)
    (tree / "group_vars/on_imagebuild").write_text('build_artifact_path: "{{ playbook_dir }}/builds"\n')
    (tree / "vars/base.yml").write_text("image: {agent: false}\n")
    entries = [_WRAPPER.format("basefs", "base")]
    for number in range(_OVERLAYS):
        (tree / f"files/{number}").write_bytes(random.Random(number).randbytes(_BYTES))
        (tree / f"vars/overlay{number}.yml").write_text(
            f"image: {{files: [{{src: files/{number}, dest: /opt/content}}]}}\n"
        )
        entries.append(_WRAPPER.format("overlay", f"overlay{number}"))
    (tree / "all.yml").write_text("".join(entries))


if __name__ == "__main__":
    main()
