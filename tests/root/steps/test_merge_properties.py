"""One overlay out of two is on a node what the two are: random trees and changes, and the real kernel."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from imagebuilder.engine.merge import merge_files
from imagebuilder.steps.layer import capture, settle
from imagebuilder.steps.overlay import PackOverlay
from layer_node import Node, Seen, node, view
from machine import PlainMachine
from root.steps.test_layer_properties import BASE, CHANGES, EPOCH, TOGETHER, Operation, do_each

pytestmark = pytest.mark.root

_CLEAN = """
cd /work; umount below merged base 2>/dev/null; rm -rf /work/*
mkdir tree base one two one-work two-work merged below scratch
"""
_OPTIONS = "index=off,xino=off,redirect_dir=off,metacopy=off"


def _said(text: str) -> list[Operation]:
    """`WHAT PATH [OTHER]`, separated by commas."""
    words = [part.split() for part in text.split(",") if part]
    return [Operation(what, path.encode(), "".join(other).encode() or b"a", 1) for what, path, *other in words]


KNOWN = tuple(
    (_said(base), _said(one), _said(two))
    for base, one, two in (
        # What the base has in a folder stays hidden, though another overlay makes the folder again.
        ("mkdir a,write a/b", "remove a", "mkdir a,write a/c"),
        ("mkdir a,write a/b,mkdir c,write c/b", "replace a,remove c,write c", "mkdir a,write a/c,delete c,mkdir c"),
        # What only the lower one had needs nothing that hides it: the kernel would list that.
        ("write c", "mkdir a,write a/b,write a/c", "mkdir a,write a/c,delete a/b"),
        # Files of two overlays are two files, whatever their numbers there.
        ("", "write a,link a b,write c", "write a/b,mkdir a,write b/c,mkdir b,write c,link c b,link c a"),
        # Of a file with two names one is hidden.
        ("", "write a,link a b", "write a"),
    )
)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with node(tmp_path_factory.mktemp("node") / "root") as started:
        yield started


def _layer(booted: Node, name: str, below: str, changes: Sequence[Sequence[Operation]]) -> Path:
    """Change what is `below` (layers, bottom first), and pack that."""
    work, lower = booted.root / "work", ":".join(reversed(below.split()))
    booted.run(
        f"cd /work && mount -t overlay -o {_OPTIONS},lowerdir={lower},upperdir={name},workdir={name}-work o merged"
    )
    do_each(work / "merged", changes)
    booted.run("umount /work/merged")
    look = (
        f"mount -t overlay -o {_OPTIONS},lowerdir={lower}:tree o below" if " " in below else "mount --bind base below"
    )
    booted.run(f"cd /work && {look}")
    settle(work / name, capture(work / name, work / "below"))
    layers = {"lower": (work / "below",), "upper": (work / name,)}
    PackOverlay("squashfs", EPOCH).run(PlainMachine(work / "scratch"), layers, work / f"{name}.squashfs")
    booted.run("umount /work/below")
    return work / f"{name}.squashfs"


@settings(
    max_examples=int(os.environ.get("IMAGEBUILDER_TEST_SEQUENCES", "200")) // TOGETHER,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example(KNOWN, "base")
@example(KNOWN, "base one")
@given(
    st.lists(st.tuples(BASE, CHANGES, CHANGES), min_size=TOGETHER, max_size=TOGETHER),
    st.sampled_from(["base", "base one"]),
)
def test_merged_overlay_is_what_the_node_makes_of_both(
    booted: Node, cases: Sequence[tuple[list[Operation], ...]], lower: str
) -> None:
    booted.run(_CLEAN)
    work = booted.root / "work"
    bases, one, two = zip(*cases, strict=True)
    do_each(work / "tree", bases)
    argv = ("mksquashfs", work / "tree", work / "base.file", "-quiet", "-no-progress", "-comp", "lz4")
    subprocess.run(argv, check=True, capture_output=True)
    booted.run("cd /work && mount -t squashfs -o ro,loop base.file base && rm -rf tree && mkdir tree")
    overlays = [_layer(booted, "one", "base", one), _layer(booted, "two", lower, two)]
    expected = _seen(booted, *overlays)
    merge_files(overlays, "squashfs", work / "merged.squashfs", lambda _: None)
    assert _seen(booted, work / "merged.squashfs") == expected


def _seen(booted: Node, *overlays: Path) -> dict[bytes, Seen]:
    """What a node sees; of a file of which the upper overlay hides a name it still counts that one."""
    found = view(booted.stack(booted.root / "work/base.file", *overlays), EPOCH)
    return {name: replace(seen, links=0) for name, seen in found.items()}
