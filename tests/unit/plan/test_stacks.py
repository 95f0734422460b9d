"""Overlays on overlays: which layers they are made on."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_tree import BASE, OVERLAY
from imagebuilder.errors import SpecError
from unit.plan.test_compile import INITRD, Y, make_plan, names_below


@pytest.mark.parametrize("base", ["x", "[base, x]", "[x, base]"])
def test_overlay_on_an_overlay_stands_on_all_that_is_below(tmp_path: Path, base: str) -> None:
    plan = make_plan(tmp_path, {"all.yml": Y + BASE + OVERLAY, "vars/y.yml": f"image: {{base: {base}}}"})
    assert names_below(plan, "y: provision") == ["base: bootstrap", "base: provision", "x: provision"]
    assert names_below(plan, "y: footing", "on") == ["base: squashfs", "x: pack"]


def test_overlays_that_know_nothing_of_each_other_are_stacked_as_on_a_node(tmp_path: Path) -> None:
    files = {
        "all.yml": "".join(OVERLAY.replace("x.yml", f"{name}.yml") for name in "zyx") + BASE,
        "vars/y.yml": "image: {packages: [less]}",
        "vars/z.yml": "image: {base: [base, x, y]}",
    }
    plan = make_plan(tmp_path, files)
    base = ["base: bootstrap", "base: provision"]
    assert names_below(plan, "z: provision") == [*base, "x: provision", "y: provision", "z: stack y"]
    assert names_below(plan, "z: pack") == names_below(plan, "z: provision")
    assert names_below(plan, "z: stack y") == [*base, "x: provision"]
    assert names_below(plan, "z: stack y", "footing") == ["y: footing"]
    assert names_below(plan, "z: stack y", "upper") == ["y: provision"]


def test_layer_that_was_stacked_for_one_overlay_is_none_of_anothers(tmp_path: Path) -> None:
    names = "wzyvx"
    files = {
        "all.yml": "".join(OVERLAY.replace("x.yml", f"{name}.yml") for name in names) + BASE,
        "vars/v.yml": "image: {packages: [lshw]}",
        "vars/y.yml": "image: {packages: [less]}",
        "vars/z.yml": "image: {base: [base, x, y]}",
        "vars/w.yml": "image: {base: [v, z]}",
    }
    plan = make_plan(tmp_path, files)
    assert names_below(plan, "w: provision")[2:] == [
        *("v: provision", "x: provision", "w: stack x", "y: provision", "w: stack y", "z: provision", "w: stack z")
    ]


def test_overlay_on_two_bases_is_refused(tmp_path: Path) -> None:
    files = {
        "all.yml": BASE + BASE.replace("base.yml", "other.yml") + OVERLAY,
        "vars/other.yml": "image: {packages: [less]}",
        "vars/x.yml": "image: {base: [base, other]}",
    }
    with pytest.raises(SpecError, match=r"vars/x.yml:1: `x` is built on `base` and on `other`, two bases"):
        make_plan(tmp_path, files)


def test_image_that_takes_a_layer_of_a_node_says_so_for_itself_alone(tmp_path: Path) -> None:
    files = {
        "all.yml": INITRD + BASE + OVERLAY,
        "vars/initrd.yml": "image: {profile: virt}",
        "vars/x.yml": "image: {packages: [less], node_layer: true}",
    }
    plan = make_plan(tmp_path, files)
    assert {bootable.name: bootable.node_layer for bootable in plan.bootables} == {"base": False, "x": True}
