"""Paths in a root are followed as the root itself would, and never out of it. (Owners: tests/root/steps.)"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps.files import resolve

LINKS = {
    "lib": "usr/lib",
    "etc/absolute": "/usr/share",
    "etc/double": "//usr/share",
    "etc/up": "../../../../../etc",
    "etc/chain": "absolute/x",
    "usr/lib/sibling": "../share",
    "usr/share/x/deep": "../../../lib/y",
    "etc/self": "self",
    "etc/dangling": "/nowhere/at/all",
}

PLACES: tuple[tuple[str, str], ...] = (
    ("/", ""),
    ("/usr/lib", "usr/lib"),
    ("/new/folder", "new/folder"),
    ("/lib/file", "usr/lib/file"),
    ("/etc/absolute/a", "usr/share/a"),
    ("/etc/double/a", "usr/share/a"),
    ("/etc/up/passwd", "etc/passwd"),
    ("/etc/chain/a", "usr/share/x/a"),
    ("/lib/sibling/a", "usr/share/a"),
    ("/etc/chain/deep/a", "usr/lib/y/a"),
    ("/etc/dangling/a", "nowhere/at/all/a"),
    ("/../../a", "a"),
    ("/lib/../a", "usr/a"),
    ("//etc", "etc"),
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, target in LINKS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(("path", "place"), PLACES)
def test_path_leads_where_the_root_itself_would_find_it(root: Path, path: str, place: str) -> None:
    assert resolve(root, PurePosixPath(path)) == root / place


def test_links_in_a_circle_are_an_error(root: Path) -> None:
    with pytest.raises(ImagebuilderError, match="too many symbolic links"):
        resolve(root, PurePosixPath("/etc/self/x"))
