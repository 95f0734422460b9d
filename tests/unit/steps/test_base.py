"""What a step is: its kind, version and fields as JSON, without the places where things lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.steps.base import NOT_IDENTITY, Action, Inputs, Source, Step, identity, step_id


@dataclasses.dataclass(frozen=True, slots=True)
class Greet(Action):
    kind: ClassVar[str] = "greet"
    version: ClassVar[int] = 3
    words: tuple[str, ...] = ()

    def run(self, machine: Machine, root: Chroot) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Make(Step):
    kind: ClassVar[str] = "make"
    actions: tuple[Action, ...] = ()
    table: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    where: str = dataclasses.field(default="", metadata=NOT_IDENTITY)

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None: ...


VALUES: tuple[tuple[object, object], ...] = (
    (None, None),
    (True, True),
    (5, 5),
    (("a", 1), ["a", 1]),
    ({"b": (1,), "a": None}, {"b": [1], "a": None}),
    (Source(Path("/x"), "abc"), {"digest": "abc"}),
    (Greet(("a",)), {"kind": "greet", "version": 3, "words": ["a"]}),
    (
        Make((Greet(),), {"x": Source(Path("/x"), "abc")}, "here"),
        {
            "kind": "make",
            "version": 1,
            "actions": [{"kind": "greet", "version": 3, "words": []}],
            "table": {"x": {"digest": "abc"}},
        },
    ),
)


@pytest.mark.parametrize(("value", "expected"), VALUES)
def test_identity_is_json(value: object, expected: object) -> None:
    assert identity(value) == expected


@pytest.mark.parametrize("value", [Path("/x"), {1, 2}, b"x", object()])
def test_step_cannot_depend_on_what_has_no_canonical_form(value: object) -> None:
    with pytest.raises(TypeError, match="a step cannot depend on"):
        identity(Make(table={"x": value}))


CHANGES: tuple[Make, ...] = (
    Make((Greet(),)),
    Make((Greet(("a",)),)),
    Make((Greet(("a",)), Greet(("b",)))),
    Make((Greet(("b",)), Greet(("a",)))),
    Make(table={"x": 1}),
    Make(table={"x": "1"}),
    Make(table={"x": None}),
)


def test_each_change_of_a_field_is_another_step() -> None:
    assert len({step_id(step, {}) for step in CHANGES}) == len(CHANGES)


def test_place_is_no_part_of_the_identity_but_content_is(tmp_path: Path) -> None:
    assert step_id(Make(where="a"), {}) == step_id(Make(where="b"), {})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    before = [step_id(Make(table={"x": Source.of(tmp_path / name)}), {}) for name in ("one", "two")]
    assert before[0] == before[1]
    (tmp_path / "one/file").write_text("y")
    assert step_id(Make(table={"x": Source.of(tmp_path / "one")}), {}) != before[0]


def test_bumped_version_is_another_step(monkeypatch: pytest.MonkeyPatch) -> None:
    before = step_id(Make((Greet(),)), {})
    monkeypatch.setattr(Greet, "version", 4)
    assert step_id(Make((Greet(),)), {}) != before
