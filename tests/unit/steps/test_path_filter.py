"""What is excluded and included is what dpkg excludes and includes."""

from __future__ import annotations

import pytest

from imagebuilder.steps.path_filter import path_filter

DOCS = ["path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright"]


@pytest.mark.parametrize(
    ("options", "path", "skipped"),
    [
        ([], "/usr", False),
        (DOCS, "/usr/share/doc/a/changelog.gz", True),
        (DOCS, "/usr/share/doc/a/copyright", False),
        (DOCS, "/usr/share/docs", False),
        (DOCS[::-1], "/usr/share/doc/a/copyright", True),  # the last one that matches decides
        ([*DOCS, "path-exclude=/usr/share/doc/b/*"], "/usr/share/doc/b/copyright", True),
        (["path-exclude=/a?c"], "/abc", True),
        (["path-exclude=/a?c"], "/a/c", True),
        (["path-exclude=/man[1-9]"], "/man3", True),
        (["path-exclude=/man[1-9]"], "/man", False),
        (["path-exclude=/man[!1-9]"], "/man3", False),
        (["path-exclude=/man[^1-9]"], "/manx", True),
        (["path-exclude=/a[]x]"], "/a]", True),
        (["path-exclude=/a[b"], "/a[b", True),
        ([r"path-exclude=/a\*"], "/a*", True),
        ([r"path-exclude=/a\*"], "/ab", False),
        (["path-exclude=/a+(b)|c"], "/a+(b)|c", True),
        (["path-exclude=/*.so"], "/usr/lib/x.so", True),
        (["path-exclude=/*.so"], "/usr/lib/x.so.1", False),
        (["  path-exclude  =  /a  "], "/a", True),
        (["path-exclude /a"], "/a", True),
        (["#path-exclude=/a", "no-debsig", "path-excluded=/a"], "/a", False),
    ],
)
def test_last_pattern_that_matches_decides(options: list[str], path: str, skipped: bool) -> None:
    assert path_filter(options).skips(path, leads=False) == skipped


@pytest.mark.parametrize(
    ("path", "skipped"), [("/usr/share/doc/a", False), ("/usr/share/doc/a/examples", False), ("/usr/share/man", True)]
)
def test_folder_that_may_lead_to_something_included_is_there(path: str, skipped: bool) -> None:
    filtered = path_filter(["path-exclude=/usr/share/man*", *DOCS])
    assert filtered.skips(path, leads=True) == skipped


def test_folder_of_what_is_only_excluded_is_not_there() -> None:
    assert path_filter(["path-exclude=/a/*"]).skips("/a/b", leads=True)
