"""Fifty overlays on one base, ten packages each from a set of sixty: do time and disk grow linearly?

The sixty packages are dealt into six hands of ten, and the overlays take the
hands in turn, each with a file of its own. So the first 24 overlays and the
last 24 have the same work to do, and every difference is one of their number.
Steps run one after the other; downloads and the base do not count.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from measure import IMAGEBUILDER, Row, fresh_cache, report

_OVERLAYS = 50
_HANDS = 6
_COMPARED = 24
_PACKAGES = Path(__file__).with_name("packages-60.txt").read_text().split()
_SLOWDOWN = 1.1


@dataclass(frozen=True, slots=True)
class Stage:
    """A build of some more overlays: how many, seconds of their steps and of the whole run, bytes on disk."""

    overlays: int
    steps: float
    wall: float
    disk: int


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name, fresh_cache(folder := Path(name)):
        _write_tree(folder / "tree")
        _stage(folder, 0, 0)
        first = _stage(folder, 0, _COMPARED)
        middle = _stage(folder, _COMPARED, _OVERLAYS - _COMPARED)
        last = _stage(folder, _OVERLAYS - _COMPARED, _OVERLAYS)
    stages = (first, middle, last)
    count = sum(stage.overlays for stage in stages)
    report(
        "many_overlays",
        [
            Row(f"slope: steps of an overlay, of {count}", sum(s.steps for s in stages) / count, "s"),
            Row(f"slope: whole run by overlay, of {count}", sum(s.wall for s in stages) / count, "s"),
            Row(f"slope: disk of an overlay, of {count}", sum(s.disk for s in stages) / count / 1e6, "MB"),
            Row(f"an overlay of the first {_COMPARED}", first.steps / first.overlays, "s"),
            Row(f"an overlay of the last {_COMPARED}", last.steps / last.overlays, "s", _limit(first.steps, first)),
            Row(f"disk of one of the first {_COMPARED}", first.disk / first.overlays / 1e6, "MB"),
            Row(
                f"disk of one of the last {_COMPARED}",
                last.disk / last.overlays / 1e6,
                "MB",
                _limit(first.disk / 1e6, first),
            ),
        ],
    )


def _limit(whole: float, first: Stage) -> float:
    return round(_SLOWDOWN * whole / first.overlays, 2)


def _write_tree(tree: Path) -> None:
    """The tree, and by `upto-N.yml` its playbooks with the first N overlays."""
    for name in ("vars", "group_vars"):
        (tree / name).mkdir(parents=True)
    (tree / "group_vars/on_imagebuild").write_text('build_artifact_path: "{{ playbook_dir }}/builds"\n')
    (tree / "vars/base.yml").write_text("image: {agent: false}\n")
    entries = ["- import_playbook: common/basefs_wrapper.yml\n  vars: {config_file: vars/base.yml}\n"]
    for number in range(_OVERLAYS):
        hand = ", ".join(_PACKAGES[number % _HANDS :: _HANDS])
        own = f"{{dest: /etc/overlay, content: '{number}'}}"
        (tree / f"vars/overlay{number}.yml").write_text(f"image: {{packages: [{hand}], files: [{own}]}}\n")
        config = f"{{config_file: vars/overlay{number}.yml}}"
        entries.append(f"- import_playbook: common/overlay_wrapper.yml\n  vars: {config}\n")
    for count in {0, _COMPARED, _OVERLAYS - _COMPARED, _OVERLAYS}:
        (tree / f"upto-{count}.yml").write_text("".join(entries[: count + 1]))


def _stage(folder: Path, before: int, count: int) -> Stage:
    """Build the first `count` overlays, of which `before` are done already."""
    os.sync()  # what the stage before left in memory is not written at the cost of this one
    disk, began = _disk(folder / "cache"), time.monotonic()
    arguments = ("build", f"upto-{count}.yml", "--cache", str(folder / "cache"), "--jobs", "1", "--json")
    done = subprocess.run((*IMAGEBUILDER, *arguments), cwd=folder / "tree", capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    wall = time.monotonic() - began
    events = [json.loads(line) for line in done.stdout.splitlines()]
    ended = [e for e in events if e["event"] == "StepFinished" and e["step"].startswith("overlay")]
    return Stage(count - before, sum(e["seconds"] for e in ended), wall, _disk(folder / "cache") - disk)


def _disk(cache: Path) -> int:
    """Bytes on disk of what steps made."""
    places = [str(cache / name) for name in ("store", "trees") if (cache / name).exists()]
    if not places:
        return 0
    said = subprocess.run(
        ("du", "--summarize", "--block-size=1", "--total", *places), capture_output=True, text=True, check=True
    )
    return int(said.stdout.splitlines()[-1].split()[0])


if __name__ == "__main__":
    main()
