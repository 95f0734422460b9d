"""Progress in its three forms: lines for logs, JSON for programs, live lines for people."""

from __future__ import annotations

import io
import json
import re
import threading
import time

import pytest

from imagebuilder.console import line_of, progress, size_text, time_text
from imagebuilder.events import (
    ArtifactPublished,
    Event,
    Note,
    Outlook,
    OutputLine,
    OverlayKept,
    PartFinished,
    Planned,
    Progress,
    StepFailed,
    StepFinished,
    StepKept,
    StepStarted,
)

SIZES = ((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1536, "1.5 kB"), (99_940, "99.9 kB"), (100_000, "100 kB"))
LARGE = (
    (999_499, "999 kB"),
    (999_999, "1.0 MB"),
    (42_400_000, "42.4 MB"),
    (5 * 10**12, "5.0 TB"),
    (10**16, "10000 TB"),
)


@pytest.mark.parametrize(("size", "text"), SIZES + LARGE)
def test_size_is_short(size: int, text: str) -> None:
    assert size_text(size) == text


EVENTS: tuple[tuple[Event, str], ...] = (
    (StepStarted("base: bootstrap"), "base: bootstrap ..."),
    (Progress("base: bootstrap", "installing 88 packages"), "base: bootstrap: installing 88 packages"),
    (StepFinished("base: bootstrap", 6.34, 80_000_000), "base: bootstrap: done in 6.3 s, 80.0 MB"),
    (StepFailed("base: bootstrap", 2.0, "why"), "base: bootstrap: failed after 2.0 s"),
    (Note("", "careful"), "note: careful"),
    (Note("x: pack", "careful"), "note: x: pack: careful"),
    (OverlayKept("x", "fits", (), ("/d",)), "note: x: kept, though its base is another one: fits"),
    (
        OverlayKept("x", "shadows changed files", ("/a", "/b", "/c", "/d", "/e", "/f", "/g"), ()),
        (
            "note: x: kept, though its base is another one: shadows changed files: /a, /b, /c, /d, /e and 2 more "
            "(`--rebuild-overlays` makes it again)"
        ),
    ),
    (ArtifactPublished("base", "base.img", 42_000_000, "ab" * 32), "base.img  42.0 MB  sha256 abababababab"),
    (Progress("base: bootstrap", "unpacking", 35_200_000), "base: bootstrap: unpacking (35.2 MB)"),
    (Planned("", 15, 12, 65.2, True), "12 of 15 steps are done already; the others take about 1:05 min"),
    (Planned("", 15, 12, 8, False), "12 of 15 steps are done already; the others take more than 8 s"),
    (Planned("", 15, 0, 0, False), "0 of 15 steps are done already"),
    (Planned("", 15, 15, 0, True), "all 15 steps are done already"),
    (StepKept("base: bootstrap", 5), ""),
    (Outlook("", 15, 13, 5, True), ""),
    (PartFinished("base: bootstrap", "files", 1), ""),
    (OutputLine("base: bootstrap", "Setting up x"), ""),
)


@pytest.mark.parametrize(("event", "text"), EVENTS)
def test_event_is_a_line(event: Event, text: str) -> None:
    assert line_of(event) == text


def test_log_goes_to_standard_error_without_the_tools_output(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(as_json=False, verbose=False) as report:
        for event, _ in EVENTS:
            report(event)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [text for _, text in EVENTS if text]


def test_verbose_log_has_the_tools_output(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(as_json=False, verbose=True) as report:
        report(OutputLine("base: bootstrap", "Setting up x"))
    assert capsys.readouterr().err == "base: bootstrap | Setting up x\n"


def test_json_goes_to_standard_output_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(as_json=True, verbose=False) as report:
        for event, _ in EVENTS:
            report(event)
    captured = capsys.readouterr()
    assert captured.err == ""
    seen = [json.loads(line) for line in captured.out.splitlines()]
    assert [value["event"] for value in seen] == [type(event).__name__ for event, _ in EVENTS]
    assert seen[2] == {"event": "StepFinished", "step": "base: bootstrap", "seconds": 6.34, "size": 80_000_000}
    assert seen[-1]["text"] == "Setting up x"


def test_lines_of_several_threads_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(as_json=True, verbose=False) as report:
        lines = [OutputLine(f"step {n}", "x" * 200) for n in range(8)]
        threads = [threading.Thread(target=lambda line=line: [report(line) for _ in range(50)]) for line in lines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len([json.loads(line) for line in capsys.readouterr().out.splitlines()]) == 400


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00 min"), (3725, "62:05 min")])
def test_time_is_short(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


class Terminal(io.StringIO):
    """A stream that claims to be somebody's screen."""

    def isatty(self) -> bool:
        return True


def test_terminal_shows_what_runs_and_keeps_what_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with progress(as_json=False, verbose=False) as report:
        report(StepStarted("base: bootstrap"))
        report(StepFinished("base: bootstrap", 6.34, 80_000_000))
        report(StepStarted("x: provision"))
        report(Progress("x: provision", "TASK [install the [bold] tools]"))
        report(Progress("unknown: step", "said [all] the same"))
        report(OutputLine("x: provision", "too much"))
        report(Planned("", 5, 2, 100, True))
        report(Outlook("", 5, 3, 100, True))
        deadline = time.monotonic() + 20
        while "about 1:39 min left" not in screen.getvalue():  # it counts down by itself
            assert time.monotonic() < deadline
            time.sleep(0.1)
        report(Progress("x: provision", "unpacking", 35_200_000))
        report(Outlook("", 5, 4, 20, False))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "base: bootstrap: done in 6.3 s, 80.0 MB\n" in text
    assert "TASK [install the [bold] tools]" in text
    assert "unknown: step: said [all] the same" in text
    assert "too much" not in text
    assert "2 of 5 steps are done already; the others take about 1:40 min\n" in text
    assert "3 of 5 steps done" in text
    assert "unpacking (35.2 MB)" in text
    assert "more than 20 s left" in text
