"""The signed Release files of a folder of apt's lists: when each was made, and what it is."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imagebuilder import digest


@dataclass(frozen=True, slots=True, order=True)
class Release:
    """One of them, whichever mirror it came from: suite (`./` without one), `Date:` in seconds since 1970, sha256."""

    suite: str
    date: int
    sha256: str

    def __str__(self) -> str:
        return f"{datetime.fromtimestamp(self.date, UTC):%Y-%m-%dT%H:%M:%SZ} {self.sha256}"


def read_releases(lists: Path) -> tuple[Release, ...]:
    """Every one that has a date (apt names them HOST_PATH_dists_SUITE_InRelease), in order."""
    found = []
    for path in lists.glob("*Release"):
        content = path.read_bytes()
        if match := re.search(r"^Date: (.*)$", content.decode(errors="replace"), re.MULTILINE):
            date = int(email.utils.parsedate_to_datetime(match.group(1)).timestamp())
            _, _, suite = path.name.rpartition("_")[0].rpartition("_dists_")
            found.append(Release(suite if "_dists_" in path.name else "./", date, digest.of_bytes(content)))
    return tuple(sorted(found))


def by_suite(releases: Iterable[Release]) -> dict[str, tuple[str, ...]]:
    """`DATE SHA256` of all Release files of each suite."""
    found: dict[str, tuple[str, ...]] = {}
    for release in releases:
        found[release.suite] = (*found.get(release.suite, ()), str(release))
    return found


def newest(releases: Iterable[Release]) -> int:
    """The newest date, 0 without any.

    The time that artifacts carry: it changes when the packages may have, and with nothing else.
    """
    return max((release.date for release in releases), default=0)
