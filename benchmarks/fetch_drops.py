"""Whether nodes boot from a server that drops 5 % of its connections: 1,000 boots of the initrd's /init.

Each runs in a mount namespace (tests/initrd_jail.py), in which its second is a twentieth of one: signed manifest, a
base of 400 KB and an overlay, fetched, checked and stacked. A connection that is dropped ends with a
reset, anywhere in it. For root.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from measure import CHECKOUT, Row, report

sys.path.insert(0, str(CHECKOUT / "tests"))

from hostile import Hostile, Trouble
from initrd_jail import Ended, make_image, make_jail

_BOOTS = 1000
_DROPPED = 0.05
_AT_ONCE = 8


class _Dropping(Hostile):
    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files, {})
        self.random = random.Random(1)
        self.dropped = 0

    def trouble(self, path: str) -> Trouble:
        if self.random.random() >= _DROPPED:
            return Trouble()
        self.dropped += 1
        return Trouble(sent=self.random.randrange(len(self.files[path])))


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        jail, image = make_jail(Path(folder) / "root"), make_image(Path(folder) / "image")
        with _Dropping(image.files) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            arguments = f"API_CB={server.address} MANIFEST=/discovery.manifest.json"

            def boot(_: int) -> Ended:
                return jail.boot(arguments)

            with ThreadPoolExecutor(_AT_ONCE) as pool:
                boots = list(pool.map(boot, range(_BOOTS)))
            server.shutdown()
    failed = [ended for ended in boots if ended.code != "booted"]
    for ended in failed[:3]:
        print("\n".join(ended.lines), file=sys.stderr)
    rows = [
        Row("boots that failed", len(failed), "", 0),
        Row("boots", len(boots), ""),
        Row("connections", sum(server.asked.values()), ""),
        Row("connections dropped", server.dropped, ""),
        Row("median boot", statistics.median(ended.seconds for ended in boots), "s"),
        Row("longest boot", max(ended.seconds for ended in boots), "s"),
    ]
    report("fetch_drops", rows)


if __name__ == "__main__":
    main()
