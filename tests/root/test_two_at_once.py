"""Two builds of one tree at the same time, with one package cache."""

from __future__ import annotations

from collections import Counter
from subprocess import CompletedProcess

import pytest

from builds import Site, artifacts, traces

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_both_succeed_their_artifacts_are_whole_and_each_package_was_fetched_once(
    two_at_once: tuple[Site, list[CompletedProcess[str]], list[str]],
) -> None:
    site, ended, asked = two_at_once
    assert [done.returncode for done in ended] == [0, 0], "".join(done.stderr for done in ended)
    assert set(artifacts(site.builds)) == {"base.bookworm.6.1.0-1-amd64.squashfs.img", "extra.overlay.cpio.gz"}
    fetched = Counter(path for path in asked if path.endswith(".deb"))
    assert len(fetched) > 80
    assert set(fetched.values()) == {1}
    assert not traces(str(site.tree))
