"""What steps made is found by their ids, as long as it is there."""

from __future__ import annotations

from imagebuilder.store.actions import Actions
from imagebuilder.store.layout import Layout
from imagebuilder.store.record import Record
from stores import add_action, record

STEP = "5" * 64


def test_record_is_found_while_its_blob_is_there(layout: Layout) -> None:
    actions = Actions(layout)
    assert actions.find(STEP) is None
    blob = add_action(layout, STEP, "content", kind="note")
    found = actions.find(STEP)
    assert found
    assert (found.sha256, found.step) == (blob.sha256, {"kind": "note"})
    layout.set_aside(blob.sha256)
    assert actions.find(STEP) is None
    assert [step for step, _ in actions.all()] == [STEP]


def test_forgotten_step_is_gone_and_can_be_forgotten_again(layout: Layout) -> None:
    add_action(layout, STEP, "content")
    for _ in range(2):
        Actions(layout).forget(STEP)
    assert Actions(layout).files() == []


def test_garbage_is_no_record_and_unfinished_files_are_no_steps(layout: Layout) -> None:
    add_action(layout, STEP, "content")
    folder = layout.root / "actions"
    (folder / "garbage").write_text("{")
    (folder / f".{STEP}.x.new").write_text((folder / STEP).read_text())
    actions = Actions(layout)
    assert actions.find("garbage") is None
    assert [step for step, _ in actions.all()] == [STEP]
    assert [path.name for path in actions.files()] == [STEP, "garbage"]


def test_record_is_what_it_was_after_it_was_written_and_read() -> None:
    given = Record("a: b", {"kind": "x", "debs": [1]}, {"lower": ["1", "2"]}, "s", 5, 1.25, (("task", 0.5),))
    assert Record.from_json(given.to_json()) == given


def test_records_of_equal_steps_have_equal_bytes() -> None:
    assert record("a", b=1, a=2).to_json() == record("a", a=2, b=1).to_json()
