"""A disk that is full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builds import traces
from mirror import Mirror

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_full_disk_is_named_with_the_ways_out(mirror: Mirror, tmp_path: Path, mirror_cache: Path) -> None:
    cache = tmp_path / "small-disk"
    site = mirror.site(tmp_path / "tree", cache)
    fill = f'mount -t tmpfs -o size=20M small "{cache}" && ln -s "{mirror_cache}/archives" "{cache}" && exec "$@"'
    cache.mkdir()
    (mirror_cache / "archives").mkdir(parents=True, exist_ok=True)
    in_small = ("unshare", "--mount", "--propagation", "private", "sh", "-c", fill, "sh")
    done = replace(site, before=(*in_small, *site.before)).run()
    assert done.returncode == 1
    assert "\nerror: base: bootstrap: " in done.stderr
    assert done.stderr.endswith(
        f"hint: {cache} is full: `imagebuilder store gc` removes what nothing needs, `--cache DIR` takes another disk\n"
    )
    assert not site.builds.exists()
    assert not traces(str(tmp_path))
