"""Ansible's words become events and errors that name the task, the file and the line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuilder.errors import CommandError, ImagebuilderError, Location, SpecError
from imagebuilder.steps.ansible_events import EventFile, TaskEnded, TaskStarted, failure, location, parse

WHERE = Location(Path("/tree/roles/x/tasks/main.yml"), 3)
FAILED = TaskEnded("x : Install", WHERE, "failed", 1.5, "No package `y`", "apt said so")


def _command_error(output: str) -> CommandError:
    return CommandError(("python", "-m", "ansible"), 2, output)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a/b.yml:3", Location(Path("/a/b.yml"), 3)),
        ("/a/b.yml:3:14", Location(Path("/a/b.yml"), 3)),
        ("/a/b.yml", Location(Path("/a/b.yml"))),
        ("/a b/c:d.yml:7", Location(Path("/a b/c:d.yml"), 7)),
    ],
)
def test_places_are_read_in_each_of_ansibles_forms(text: str, expected: Location) -> None:
    assert location(text) == expected


def test_line_that_is_still_being_written_waits(tmp_path: Path) -> None:
    events = EventFile(tmp_path / "events")
    line = json.dumps({"event": "start", "task": "x : One", "where": "/a.yml:1"})
    assert list(events.read()) == []
    with events.path.open("a") as file:
        file.write(line[:20])
        file.flush()
        assert list(events.read()) == []
        file.write(line[20:] + "\n")
    assert list(events.read()) == [TaskStarted("x : One", Location(Path("/a.yml"), 1))]
    assert list(events.read()) == []


def test_end_of_a_task_has_its_time_and_its_failure() -> None:
    fields = {"event": "end", "task": "x : One", "where": "/a.yml:1", "status": "failed", "seconds": 0.5}
    more = {"message": "no", "output": "out", "item": "b", "origin": "/b.j2:2:3"}
    assert parse(json.dumps({**fields, **more})) == TaskEnded(
        "x : One", Location(Path("/a.yml"), 1), "failed", 0.5, "no", "out", "b", Location(Path("/b.j2"), 2)
    )


def test_failed_task_is_named_with_its_place_and_its_output() -> None:
    error = failure("roles/x", [FAILED], "noise")
    assert error.message == f"{WHERE}: the task `x : Install` failed: No package `y`"
    assert error.detail == "apt said so"


def test_the_last_failed_task_counts_because_earlier_ones_were_rescued() -> None:
    last = replace(FAILED, task="x : Rescue", item="b")
    assert "`x : Rescue` failed at the item `b`" in failure("roles/x", [FAILED, last], "").message


def test_undefined_variable_is_the_users_error_at_the_value_that_needs_it() -> None:
    origin = Location(WHERE.file, 9)
    task = replace(FAILED, message="Error while resolving value for 'name': 'colour' is undefined", origin=origin)
    error = failure("roles/x", [task], "")
    assert isinstance(error, SpecError)
    assert error.exit_code == 2
    assert error.location == origin
    assert "the task `x : Install` needs `colour`, which is undefined" in error.message


def test_undefined_variable_in_a_template_is_found_in_its_line(tmp_path: Path) -> None:
    template = tmp_path / "motd.j2"
    template.write_text("welcome\n{{ colours }}\n{{ colour }}\n")
    task = replace(FAILED, message="'colour' is undefined", origin=Location(template))
    error = failure("roles/x", [task], "")
    assert isinstance(error, SpecError)
    assert error.location == Location(template, 3)


def test_undefined_variable_within_a_variable_is_blamed_on_the_task_that_uses_it() -> None:
    task = replace(FAILED, message="'colour' is undefined", origin=Location(Path("variables.json")))
    error = failure("roles/x", [task], "")
    assert isinstance(error, SpecError)
    assert error.location == WHERE
    assert "a variable that the task `x : Install` uses needs `colour`" in error.message


def test_module_of_a_collection_comes_with_the_way_to_get_it() -> None:
    output = (
        "[ERROR]: couldn't resolve module/action 'mount'. This often ...\nOrigin: /tree/main.yml:4:3\n\n4 - mount:\n"
    )
    error = failure("roles/x", [], output)
    assert isinstance(error, SpecError)
    assert error.location == Location(Path("/tree/main.yml"), 4)
    assert "no module `mount`" in error.message
    assert error.hint is not None
    assert "ansible-galaxy collection install" in error.hint


def test_error_before_the_first_task_keeps_ansibles_sentence_and_place() -> None:
    error = failure("roles/x", [], "[ERROR]: YAML parsing failed.\nOrigin: /tree/main.yml:2:1\n")
    assert error.message == "/tree/main.yml:2: YAML parsing failed."


def test_words_that_are_not_understood_are_shown_as_they_are() -> None:
    error = failure("roles/x", [], "Segmentation fault\n")
    assert type(error) is ImagebuilderError
    assert error.detail == "Segmentation fault\n"
