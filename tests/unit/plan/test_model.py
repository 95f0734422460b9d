"""A plan under construction: the same step is one step, whoever asks for it."""

from __future__ import annotations

from pathlib import Path

from imagebuilder.plan.model import Artifact, Builder
from imagebuilder.steps.base import Source
from imagebuilder.steps.squashfs import Squashfs
from imagebuilder.steps.unsquash import Unsquash


def test_same_step_is_planned_once_under_its_first_name() -> None:
    builder = Builder()
    first, second = builder.add("first", Squashfs(5)), builder.add("second", Squashfs(5))
    assert first == second
    (step,) = builder.plan().steps
    assert (step.id, step.name) == (first, "first")


def test_inputs_their_roles_and_their_order_are_part_of_a_steps_identity() -> None:
    builder = Builder()
    a, b = builder.add("a", Squashfs(1)), builder.add("b", Squashfs(2))
    variants: list[dict[str, tuple[str, ...]]] = [
        {},
        {"lower": (a,)},
        {"lower": (a, b)},
        {"lower": (b, a)},
        {"upper": (a,)},
        {"lower": (a,), "upper": (b,)},
    ]
    assert len({builder.add("x", Squashfs(3), **inputs) for inputs in variants}) == len(variants)


def test_what_a_step_reads_is_what_all_its_roles_name() -> None:
    builder = Builder()
    a, b = builder.add("a", Squashfs(1)), builder.add("b", Squashfs(2))
    builder.add("c", Squashfs(3), lower=(a,), upper=(b, a), none=())
    assert builder.plan().steps[-1].needs == {a, b}


def test_identity_is_the_content_not_the_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    builder = Builder()
    assert builder.add("a", Unsquash(Source.of(tmp_path / "a"))) == builder.add(
        "b", Unsquash(Source.of(tmp_path / "b"))
    )
    (tmp_path / "b").write_text("y")
    builder.add("b", Unsquash(Source.of(tmp_path / "b")))
    assert len(builder.plan().steps) == 2


def test_plan_keeps_the_order_of_steps_and_artifacts() -> None:
    builder = Builder()
    ids = [builder.add(str(n), Squashfs(n)) for n in range(5)]
    for n in (3, 1):
        builder.yields(Artifact(f"{n}.img", "x", ids[n], "a/type", ids[n]))
    plan = builder.plan()
    assert [step.id for step in plan.steps] == ids
    assert [artifact.name for artifact in plan.artifacts] == ["3.img", "1.img"]
    assert builder.artifacts == plan.artifacts
