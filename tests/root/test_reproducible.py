"""`imagebuilder verify-reproducible`: a tree that gives the same bytes, and one that does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from builds import PROGRAM, Site, write_tree
from mirror import Mirror

pytestmark = [pytest.mark.root, pytest.mark.network]

CLOCK = """\
image:
  packages: [sandwich]
  run: ["date +%N > /etc/x"]
"""


@pytest.fixture
def site(tmp_path: Path, mirror: Mirror, two_at_once: tuple[Site, list[object], list[str]]) -> Site:
    """The small tree, which is built already."""
    return mirror.site(tmp_path / "tree", two_at_once[0].cache)


def _verify(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [*site.before, str(PROGRAM), "verify-reproducible", "--cache", str(site.cache), *arguments]
    return subprocess.run(argv, cwd=site.tree, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_small_tree_is_reproducible_and_nothing_is_left(site: Site) -> None:
    done = _verify(site)
    assert (done.stdout, done.returncode) == (
        "reproducible: all 6 artifacts, lists and manifests are the same\n",
        0,
    ), done.stderr
    assert "second build: base: squashfs: done" in done.stderr
    assert "first build: base: squashfs" not in done.stderr  # it was there
    assert [path.name for path in (site.cache / "verify").iterdir()] == ["lock"]
    assert not site.builds.exists()


def test_file_that_is_another_one_each_time_is_named_with_its_step(site: Site) -> None:
    write_tree(site.tree, {"vars/extra.yml": CLOCK})
    done = _verify(site, "--json")
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout)
    assert not verdict["reproducible"]
    (step,) = verdict["steps"]
    (path,) = step["paths"]
    assert (step["step"], path["step"], path["path"]) == ("extra: pack", "extra: provision", "/etc/x")
    assert "content" in path["how"]
    assert [line[0] for line in path["detail"]] == ["-", "+"]


def test_tree_that_does_not_build_fails_as_its_build_does(site: Site) -> None:
    write_tree(site.tree, {"vars/extra.yml": "image: {packages: [nothing-like-it]}\n"})
    done = _verify(site)
    assert (done.stdout, done.returncode) == ("", 2)
    assert "first build: error: a package cannot be had" in done.stderr
