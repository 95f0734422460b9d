"""Bases that nodes check as they read them, and the initrds that can."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_tree import BASE
from imagebuilder.errors import SpecError
from imagebuilder.steps.initramfs import InitramfsTree
from imagebuilder.steps.modules import Modules
from unit.plan.test_compile import INITRD, make_plan


def test_base_with_a_hash_tree_wants_an_initrd_that_opens_it(tmp_path: Path) -> None:
    tree = {"all.yml": INITRD + BASE, "vars/base.yml": "image: {verity: true}"}
    plan = make_plan(tmp_path / "both", {**tree, "vars/initrd.yml": "image: {verity: true}"})
    steps, base = {step.name: step for step in plan.steps}, plan.artifacts[-1]
    assert (base.step, base.notes) == (steps["base: hash tree"].id, steps["base: root hash"].id)
    assert steps["base: hash tree"].inputs["packed"] == steps["base: root hash"].inputs["packed"]
    programs, modules = steps["initrd: programs"].step, steps["initrd: modules"].step
    assert isinstance(programs, InitramfsTree)
    assert isinstance(modules, Modules)
    assert (programs.programs, modules.extra) == (("dmsetup",), ("dm-verity",))
    with pytest.raises(SpecError, match="`base` has `verity: true`, and `initrd`, which boots it, has not"):
        make_plan(tmp_path / "one", {**tree, "vars/initrd.yml": "image:"})
