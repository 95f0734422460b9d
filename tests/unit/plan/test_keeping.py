"""Which overlays a plan keeps when their base has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from imagebuilder.plan.keeping import Past, keep_overlays
from imagebuilder.plan.model import Artifact, Bootable, Builder, Plan, PlannedStep
from imagebuilder.steps.base import identity
from imagebuilder.steps.clean import Clean
from imagebuilder.steps.contents import ListContents
from imagebuilder.steps.footing import WriteFooting
from imagebuilder.steps.overlay import PackOverlay
from imagebuilder.steps.provision import Provision
from imagebuilder.steps.sbom import InstalledPackages
from imagebuilder.steps.squashfs import Squashfs
from imagebuilder.steps.stack import Stack
from imagebuilder.store.record import Record


def _plan(base: int = 1, epoch: int = 7, x: str = "/x", python: int = 1, on: str = "base", arch: str = "a") -> Plan:
    """A base, an overlay x on it, and y on x."""
    builder = Builder()
    bottom = builder.add("base: bootstrap", Squashfs(base))
    squashed = builder.add("base: squashfs", Squashfs(epoch), lower=(bottom,))
    interpreter = builder.add("python for Ansible", Squashfs(100 + python))
    layers: tuple[str, ...] = (bottom,)
    below: tuple[str, ...] = (on,)
    made: tuple[str, ...] = (squashed,)
    for name, path in (("x", x), ("y", "/y")):
        actions = (Clean((path,)),)
        upper = builder.add(f"{name}: provision", Provision(actions), lower=layers, python=(interpreter,))
        pack = builder.add(f"{name}: pack", PackOverlay("cpio.gz", epoch), lower=layers, upper=(upper,))
        sbom = builder.add(f"{name}: sbom", InstalledPackages("bookworm", ()), lower=layers, upper=(upper,))
        footing = builder.add(
            f"{name}: footing", WriteFooting(("bookworm", arch), below), on=made, lower=layers, upper=(upper,)
        )
        contents = builder.add(f"{name}: contents", ListContents("cpio.gz"), packed=(pack,))
        builder.yields(Artifact(f"{name}.cpio.gz", name, pack, "overlay", sbom, footing, contents))
        layers, below, made = (*layers, upper), (*below, name), (*made, pack)
    return builder.plan((Bootable("y", builder.artifacts),), epoch)


def _apart(base: int) -> Plan:
    """Overlays x and y on a base, and z on both."""
    builder = Builder()
    bottom = builder.add("base: bootstrap", Squashfs(base))
    uppers: dict[str, str] = {}

    def add(name: str, below: tuple[str, ...], *layers: str) -> str:
        made = uppers[name] = builder.add(f"{name}: provision", Provision((Clean((name,)),)), lower=layers)
        given = {"lower": layers, "upper": (made,)}
        pack = builder.add(f"{name}: pack", PackOverlay("cpio.gz", 7), **given)
        sbom = builder.add(f"{name}: sbom", InstalledPackages("bookworm", ()), **given)
        footing = builder.add(f"{name}: footing", WriteFooting(("bookworm", "amd64"), below), on=(bottom,), **given)
        contents = builder.add(f"{name}: contents", ListContents("cpio.gz"), packed=(pack,))
        builder.yields(Artifact(f"{name}.cpio.gz", name, pack, "overlay", sbom, footing, contents))
        return footing

    add("x", ("base",), bottom)
    footing = add("y", ("base",), bottom)
    below = (bottom, uppers["x"], uppers["y"])
    merged = builder.add("z: stack y", Stack(), lower=below[:2], upper=below[2:], footing=(footing,))
    add("z", ("base", "x", "y"), *below, merged)
    return builder.plan()


@dataclass
class _Done:
    """A cache in which plans were done."""

    records: dict[str, Record] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)

    def do(self, plan: Plan) -> None:
        for step in plan.steps:
            self.records[step.id] = Record(step.name, identity(step.step), step.inputs, "", 1, 1.0)
            self.latest[step.name] = step.id

    def forget(self, plan: Plan, names: Iterable[str]) -> None:
        for step in plan.steps:
            if step.name in names:
                self.records.pop(step.id)

    @property
    def past(self) -> Past:
        def recall(name: str) -> tuple[str, Record] | None:
            step_id = self.latest.get(name, "")
            return (step_id, self.records[step_id]) if step_id in self.records else None

        return Past(lambda step: step.id in self.records, recall)


def _names(steps: Iterable[PlannedStep]) -> list[str]:
    return [step.name for step in steps]


def _todo(done: _Done, plan: Plan) -> list[str]:
    return _names(plan.to_do(done.past.has))


@pytest.fixture
def done() -> _Done:
    """What building the plan left."""
    done = _Done()
    done.do(_plan())
    return done


BASE = ["base: bootstrap", "base: squashfs"]
CHECKS = ["x: check", "y: check"]


@pytest.mark.parametrize("change", [{"base": 2}, {"base": 2, "epoch": 8}])
def test_base_alone_is_made_again_and_overlays_are_checked(done: _Done, change: Mapping[str, int]) -> None:
    plan, before = keep_overlays(_plan(**change), done.past), _plan()  # type: ignore[arg-type]
    wanted = [step for step in _todo(done, plan) if step != "base: squashfs"]
    assert wanted == ["base: bootstrap", *CHECKS]
    assert plan.artifacts == before.artifacts
    assert plan.bootables[0].artifacts == before.artifacts
    assert [check.image for check in plan.checks] == ["x", "y"]
    done.do(plan)
    assert _todo(done, keep_overlays(_plan(**change), done.past)) == []  # type: ignore[arg-type]


def test_check_looks_at_what_is_below_now(done: _Done) -> None:
    plan = keep_overlays(_plan(base=2), done.past)
    steps = {step.name: step for step in plan.steps}
    bottom, x = steps["base: bootstrap"].id, steps["x: provision"].id
    assert steps["x: check"].inputs == {"lower": (bottom,), "upper": (x,), "footing": (steps["x: footing"].id,)}
    assert steps["y: check"].inputs["lower"] == (bottom, x)
    assert done.records[x].inputs["lower"] != (bottom,)


def test_nothing_is_kept_where_nothing_changed_or_nothing_was_done(done: _Done) -> None:
    assert keep_overlays(_plan(), done.past) == _plan()
    assert keep_overlays(_plan(), _Done().past) == _plan()


OTHER: tuple[tuple[str, Plan], ...] = (
    ("the overlay", _plan(base=2, x="/other")),
    ("the interpreter", _plan(base=2, python=2)),
    ("the name of its base", _plan(base=2, on="another")),
    ("the architecture", _plan(base=2, arch="b")),
)


@pytest.mark.parametrize(("what", "plan"), OTHER, ids=[case[0] for case in OTHER])
def test_overlay_of_which_something_else_changed_is_made_again(done: _Done, what: str, plan: Plan) -> None:
    assert {"x: pack", "y: pack"} <= set(_todo(done, keep_overlays(plan, done.past)))
    assert keep_overlays(plan, done.past).checks == ()


@pytest.mark.parametrize("gone", ["x: provision", "x: pack", "x: sbom", "x: footing"])
def test_overlay_of_which_something_is_gone_is_made_again(done: _Done, gone: str) -> None:
    done.forget(_plan(), [gone])
    assert keep_overlays(_plan(base=2), done.past).checks == ()


def test_overlay_on_one_that_is_made_again_is_made_again_too(done: _Done) -> None:
    plan = keep_overlays(_plan(base=2), done.past, without={"x"})
    assert plan == _plan(base=2)


def test_only_the_upper_overlay_is_made_again(done: _Done) -> None:
    plan = keep_overlays(_plan(base=2), done.past, without={"y"})
    assert [check.image for check in plan.checks] == ["x"]
    todo = _todo(done, plan)
    assert ("y: provision" in todo, "x: provision" in todo) == (True, False)
    steps = {step.name: step for step in plan.steps}
    assert steps["y: provision"].inputs["lower"] == (steps["base: bootstrap"].id, steps["x: provision"].id)


def test_overlay_that_was_made_on_the_base_of_now_wins(done: _Done) -> None:
    done.do(_plan(base=2))
    done.do(keep_overlays(_plan(base=1), _Done().past))
    assert keep_overlays(_plan(base=2), done.past) == _plan(base=2)


def test_overlay_on_two_that_were_made_apart_is_kept_and_checked_on_what_the_node_makes_of_them() -> None:
    done, before = _Done(), {step.name: step.id for step in _apart(1).steps}
    done.do(_apart(1))
    plan = keep_overlays(_apart(2), done.past)
    assert [check.image for check in plan.checks] == ["x", "y", "z"]
    assert _todo(done, plan) == ["base: bootstrap", "z: stack y", "x: check", "y: check", "z: check"]
    steps = {step.name: step for step in plan.steps}
    stack = steps["z: stack y"]
    assert stack.inputs == {
        "lower": (steps["base: bootstrap"].id, before["x: provision"]),
        "upper": (before["y: provision"],),
        "footing": (before["y: footing"],),
    }
    assert steps["z: check"].inputs["lower"][-1] == stack.id
