"""How long an upperdir takes to become an overlay, beside `find | cpio | gzip`, and how much memory.

Both compress with the same program, level and threads. The upperdir has 10,000
files of 200 MB together: half programs of this machine, half noise; for the
memory it is one file of 2 GB. As root, on a quiet machine.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import Row, report

from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.steps.overlay import PackOverlay

_FILES, _BYTES, _RUNS = 10_000, 200_000_000, 3
_EPOCH = 1_700_000_000
_PIPE = 'cd "$1" && find . -print0 | sort -z | cpio --null --create --format=newc --quiet | pigz -6 -n >"$2"'
_PROGRAM = "/usr/bin/python3"


def main() -> None:
    if len(sys.argv) == 3:  # in a process of its own, for its memory
        _pack(Path(sys.argv[1]), Path(sys.argv[2]))
        usage = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        print(json.dumps(sum(usage) / 1000))
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        _fill(folder / "upper")
        theirs = _median(lambda: subprocess.run(["sh", "-c", _PIPE, "sh", folder / "upper", folder / "a"], check=True))
        ours = _median(lambda: _pack(folder / "upper", folder / "b"))
        (folder / "large").mkdir()
        with (folder / "large/file").open("wb") as file:
            file.truncate(2 << 30)
        argv = [sys.executable, __file__, str(folder / "large"), str(folder / "c")]
        memory = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
    report(
        "capture",
        [
            Row("find | cpio | pigz -6", theirs, "s"),
            Row("capture and pack", ours, "s"),
            Row("ratio", ours / theirs, "x", 1.5),
            Row("memory for a file of 2 GB", memory, "MB", 200),
        ],
    )


def _pack(upper: Path, output: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        below = Path(scratch, "below")
        below.mkdir()
        machine = LocalMachine("pack", Path(scratch), AptFiles(Path(), Path(), {}), {}, lambda _: None)
        PackOverlay("cpio.gz", _EPOCH).run(machine, {"lower": (below,), "upper": (upper,)}, output)


def _fill(upper: Path) -> None:
    program, noise = Path(_PROGRAM).read_bytes(), random.Random(1)
    for number in range(_FILES):
        path = upper / f"usr/lib/{number % 100}/file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = noise.randrange(2 * _BYTES // _FILES)
        start = noise.randrange(len(program) - size)
        path.write_bytes(program[start : start + size] if number % 2 else noise.randbytes(size))


def _median(work: Callable[[], object]) -> float:
    def once() -> float:
        os.sync()
        began = time.monotonic()
        work()
        return time.monotonic() - began

    return statistics.median(once() for _ in range(_RUNS))


if __name__ == "__main__":
    main()
