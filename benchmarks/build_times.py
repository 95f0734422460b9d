"""How long the base and the discovery overlay take, the packages being on disk already.

Each is a whole run of `imagebuilder build` that finds none of its steps done: reading the indexes,
resolving, building, packing, publishing. A first run of everything fills the package cache.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from measure import Row, build, fresh_cache, report

_RUNS = 3


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        artifacts = Path(folder)
        build(artifacts)
        base = _median(artifacts, "base", "vars/base.yml")
        native = _median(artifacts, "overlay", "vars/discovery.yml")
        role = _median(artifacts, "overlay", "vars/example_overlay.yml")
    report(
        "build_times",
        [
            Row("base", base, "s", 45),
            Row("discovery overlay, native keys", native, "s", 15),
            Row("the same packages through an Ansible role", role, "s", 2 * native),
        ],
    )


def _median(artifacts: Path, kind: str, config_file: str) -> float:
    return statistics.median(_once(artifacts, "--kind", kind, "--config-file", config_file) for _ in range(_RUNS))


def _once(artifacts: Path, *arguments: str) -> float:
    with fresh_cache(artifacts) as cache:
        return build(artifacts, "--cache", str(cache), *arguments)


if __name__ == "__main__":
    main()
