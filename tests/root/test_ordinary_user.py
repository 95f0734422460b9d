"""Who is not root builds too, with subordinate ids in a user namespace, and gets the same bytes."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builds import PROGRAM, Site, artifacts, traces
from mirror import Mirror

pytestmark = [pytest.mark.root, pytest.mark.network]

CHECKOUT = Path(__file__).parents[2]
AS_NOBODY = Path(__file__).with_name("as-nobody")


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder of nobody's; pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, 65534, 65534)
        yield Path(folder)


def _site(mirror: Mirror, home: Path) -> Site:
    site = mirror.site(home / "tree", home / "cache")
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), 65534, 65534)
    needs = ":".join(map(str, (Path(sys.base_prefix), CHECKOUT, PROGRAM.parents[1])))
    return replace(site, before=(*site.before, str(AS_NOBODY), str(home), needs))


def test_build_by_nobody_gives_the_bytes_of_roots_and_is_not_done_again(
    mirror: Mirror, small_images: Path, home: Path
) -> None:
    site = _site(mirror, home)
    site.build()
    assert artifacts(site.builds) == artifacts(small_images)
    assert {path.stat().st_uid for path in site.builds.iterdir()} == {65534}
    assert not traces(str(home))
    done = [line for line in site.build().splitlines() if ": done in" in line]
    assert {line.partition(":")[0] for line in done} == {"packages"}
