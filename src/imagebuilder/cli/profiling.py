"""What `--profile` and `--profile-html` of `imagebuilder build` show."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.console import progress
from imagebuilder.events import Report

if TYPE_CHECKING:
    from imagebuilder.engine.cache import Cache
    from imagebuilder.engine.profile import Profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--profile", action="store_true", help="print what the time went into, on standard output")
    parser.add_argument("--profile-html", type=Path, metavar="FILE", help="write it as a page with a timeline")


@contextmanager
def recorded_progress(arguments: argparse.Namespace, cache: Cache) -> Iterator[Report]:
    """A sink for a build's events: they are shown, and what they say about time as well where that was asked for."""
    from imagebuilder.engine.profile import recorded

    with (
        progress(as_json=arguments.json, verbose=arguments.verbose) as report,
        recorded(report, cache.profiles) as recorder,
    ):
        yield recorder
    if recorder.profile.steps:
        _show(recorder.profile, arguments)


def _show(profile: Profile, arguments: argparse.Namespace) -> None:
    """Show it as was asked for."""
    if arguments.profile:
        print(json.dumps({"profile": dataclasses.asdict(profile)}) if arguments.json else table(profile))
    if arguments.profile_html:
        from imagebuilder.pages.timeline import timeline_page

        arguments.profile_html.write_text(timeline_page(profile, "Profile of a build"), encoding="utf-8")


def table(profile: Profile) -> str:
    """One line a step and, indented, one for each part of it."""
    from imagebuilder.pages.timeline import rows

    lines = [("step", "state", "start", "time", "bytes")]
    lines += [(f"  {r.name}" if r.is_part else r.name, r.state, r.start, r.time, r.size) for r in rows(profile)]
    widths = [max(len(line[column]) for line in lines) for column in range(5)]
    aligned: tuple[Callable[[str, int], str], ...] = (str.ljust, str.ljust, str.rjust, str.rjust, str.rjust)
    return "\n".join(
        "  ".join(align(text, width) for align, text, width in zip(aligned, line, widths, strict=True)).rstrip()
        for line in lines
    )
