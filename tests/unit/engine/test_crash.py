"""Builds, tags and garbage collections that are killed at any moment, alone and two on one store.

Each of 200 kills must leave a store that tells the truth and with which the
next run simply goes on. The file system is one in memory: what a killed
process has written is there all the same, and nobody waits for a disk.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from imagebuilder import digest
from imagebuilder.engine.artifacts import SUMS, read_sums, show_artifacts
from imagebuilder.engine.cache import Cache
from imagebuilder.engine.collect import Extent, collect
from imagebuilder.engine.execute import Execution, execute
from imagebuilder.engine.manifests import put_manifests
from imagebuilder.errors import ImagebuilderError
from imagebuilder.host.machine import Machine
from imagebuilder.plan.model import Artifact, Bootable, Builder, Plan
from imagebuilder.steps.base import Inputs, Step
from imagebuilder.store.index import change_index, read_index
from imagebuilder.store.manifest import BASE, INITRD, KERNEL, OVERLAYS, Layer
from imagebuilder.store.needs import needed_blobs
from imagebuilder.store.referrers import attach
from imagebuilder.store.verify import verify
from machine import PlainMachine
from registries import nothing
from stores import SPDX

KILLS = 200
NAME = "extra:latest"


@dataclass(frozen=True, slots=True)
class Fill(Step):
    """A folder of some files."""

    kind: ClassVar[str] = "fill"
    makes_folder: ClassVar[bool] = True
    text: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        for number in range(5):
            (output / str(number)).write_text(self.text * 1000)


@dataclass(frozen=True, slots=True)
class Pack(Step):
    """A file of all that is in folders."""

    kind: ClassVar[str] = "pack"
    name: str

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        with output.open("w") as writer:
            writer.write(self.name)
            for folder in inputs.get("folders", ()):
                for path in sorted(folder.iterdir()):
                    writer.write(path.read_text())


def _plan(number: int) -> Plan:
    """An image whose overlay is another one each time, and whose base is now and then."""
    builder = Builder()
    root = builder.add("base: fill", Fill(f"base {number // 4}"))
    upper = builder.add("extra: fill", Fill(f"overlay {number}"), below=(root,))
    lists = builder.add("packages", Pack("packages"), folders=(root,))
    artifacts = [
        Artifact(name, name, step, media_type, lists)
        for name, media_type, folders in (
            ("kernel", KERNEL, ()),
            ("initrd", INITRD, ()),
            ("base", BASE, (root,)),
            ("extra", OVERLAYS["cpio.gz"], (upper,)),
        )
        for step in (builder.add(f"{name}: pack", Pack(name), folders=folders),)
    ]
    for artifact in artifacts:
        builder.yields(artifact)
    return builder.plan((Bootable("base", tuple(artifacts[:3])), Bootable("extra", tuple(artifacts))))


class Workshop:
    """A cache and a store, which may be another workshop's, too."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.cache = Cache(folder / "cache", store)
        self.builds = folder / "builds"

    def work(self, number: int) -> None:
        """Build, attach something, move and roll back a channel, collect garbage."""
        cache, plan = self.cache, _plan(number)
        with cache.used():
            cache.layout.prepare()
            steps = plan.to_do(lambda step: cache.find(step) is not None)
            with cache.rooms() as rooms:
                execute(plan, steps, Execution(cache, rooms, lambda *_: PlainMachine(rooms.trees), nothing, 2))
            blobs = {artifact: cache.blob(plan.step(artifact.step)) for artifact in plan.artifacts}
            put_manifests(plan, blobs, {}, cache.layout)
            show_artifacts(blobs, cache.layout, self.builds, nothing)
            for step in plan.steps:
                cache.note_latest(self.builds, step)
            manifest = read_index(cache.layout).names[NAME]
            document = cache.layout.put(f"list of {number}".encode())
            attach(cache.layout, manifest, SPDX, [Layer(SPDX, "a.json", document)])
        change_index(cache.layout, lambda index: index.moved("extra:stable", index.names[NAME]))
        if number % 3 == 0 and any(former.name == "extra:stable" for former in read_index(cache.layout).past):
            change_index(cache.layout, lambda index: index.rolled_back("extra:stable"))
        try:
            collect(cache, Extent(1, packages=True), dry_run=False)
        except ImagebuilderError as error:
            assert "somebody builds" in error.message  # noqa: PT017 - the other workshop may

    def check(self) -> None:
        """What the store says is true: index, blobs, records, the artifact folder's list."""
        layout = self.cache.layout
        index = read_index(layout)
        for blob in layout.all_blobs():
            assert digest.of_file(layout.path(blob.sha256)) == blob.sha256
        assert all(layout.has(sha256) for sha256 in needed_blobs(layout, index))
        assert all(layout.has(record.sha256) for _, record in self.cache.actions.all())
        for name, sha256 in read_sums(self.builds).items():
            assert digest.of_file(self.builds / name) == sha256

    def check_that_nothing_is_left(self) -> None:
        """There is nothing that only a killed run can have left."""
        folder = self.cache.folder
        assert (self.cache.layout.left_over(), self.cache.trees.left_over()) == ([], [])
        assert verify(self.cache.layout, nothing) == ()
        hidden = [path for path in (*folder.rglob(".*"), *self.builds.glob(".*")) if path.name != ".lock"]
        assert hidden == []
        assert set(os.listdir(self.builds)) == {"base", "extra", "initrd", "kernel", SUMS, ".lock"}
        assert [path for path in self.cache.trees.folders() if not self.cache.trees.find(path.name)] == []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def _start(work: Callable[[Workshop, int], None], workshop: Workshop, number: int) -> int:
    """Do it in a process of its own; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        work(workshop, number)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _work_ten_times(workshop: Workshop, number: int) -> None:
    for more in range(10):
        workshop.work(number + more)


def _work_for_ever(workshop: Workshop, number: int) -> None:
    while True:
        workshop.work(number)
        number += 1


def test_killed_at_any_moment_a_store_is_whole_and_the_next_run_goes_on(place: Path) -> None:
    workshops = [Workshop(place / name, place / "store") for name in ("one", "other")]
    chance = random.Random(20240603)
    began = time.monotonic()
    for workshop in workshops:
        workshop.work(0)
    half_done = 0
    cycle = (time.monotonic() - began) / len(workshops)
    for number in range(1, KILLS + 1):
        busy = workshops[: 1 + number % 2]
        children = [_start(_work_for_ever, workshop, 10 * number) for workshop in busy]
        time.sleep(chance.uniform(0, 1.5 * cycle))
        for child in children:
            os.kill(child, signal.SIGKILL)
        assert [os.waitpid(child, 0)[1] for child in children] == [signal.SIGKILL] * len(busy)
        half_done += any(workshop.cache.layout.left_over() for workshop in busy)
        for workshop in busy:
            workshop.check()
        busy[-1].work(10 * number + 9)
        busy[-1].check()
    for workshop in workshops:
        workshop.work(1)
        workshop.work(2)  # the first may have gone on with what the other one's kill had left
        workshop.check_that_nothing_is_left()
    assert half_done > KILLS / 10, "the kills came when nothing was going on"


@pytest.mark.parametrize("caches", [("one", "one"), ("one", "other")], ids=["one cache", "one store"])
def test_two_builders_at_once_both_succeed(place: Path, caches: tuple[str, str]) -> None:
    workshops = [Workshop(place / name, place / "store") for name in caches]
    children = [_start(_work_ten_times, workshop, 0) for workshop in workshops]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    for workshop in workshops:
        workshop.check()
        workshop.work(100)
        workshop.check_that_nothing_is_left()
