"""Images go to a real registry and come back: only what is missing travels, and it goes on where it was stopped."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from imagebuilder.errors import RegistryError
from imagebuilder.events import Event, Note, Report, StepStarted
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import BASE, Layer, Manifest
from imagebuilder.store.meter import Meter
from imagebuilder.store.referrers import attach, referrers
from imagebuilder.store.registry import push as pushing
from imagebuilder.store.registry.client import Repository, Upload
from imagebuilder.store.registry.pull import Pull, pull
from imagebuilder.store.registry.push import Push, push
from registries import Registry, Wire, nothing
from stores import SPDX, add_image

NAME = "extra:latest"
PIECE = 1 << 16
BIG = "base" * PIECE  # four pieces


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "_PIECE", PIECE)


@pytest.fixture
def wire(registry: Registry) -> Iterator[Wire]:
    with closing(Wire(registry.port)) as wire:
        yield wire


def _base(layout: Layout) -> Layer:
    return Manifest.from_bytes(layout.read(read_index(layout).names[NAME].sha256)).of_type(BASE)


def test_what_is_pushed_is_pulled_bit_by_bit(registry: Registry, layout: Layout, there: Layout) -> None:
    manifest = add_image(layout, NAME, "overlay", BIG)
    sent = push(registry.push(layout, "images/a"), manifest, "latest")
    assert sent == len("{}kernelinitrdoverlay" + BIG)
    for reference in ("latest", manifest.digest):
        assert pull(registry.pull(there, "images/a"), reference)[0] == manifest
    assert {blob: there.read(blob.sha256) for blob in there.all_blobs()} == {
        blob: layout.read(blob.sha256) for blob in layout.all_blobs()
    }
    assert there.left_over() == layout.left_over() == []


def test_only_what_the_registry_lacks_travels(registry: Registry, layout: Layout) -> None:
    push(registry.push(layout, "images/b"), add_image(layout, NAME, "overlay", BIG), "latest")
    assert push(registry.push(layout, "images/b"), add_image(layout, NAME, "newer", BIG), "latest") == len("newer")
    assert registry.requests("PUT", "images/b/blobs/uploads/.*") == [201] * 6
    assert push(registry.push(layout, "images/b"), read_index(layout).names[NAME], "stable") == 0


def test_only_what_the_store_lacks_travels(registry: Registry, layout: Layout, there: Layout) -> None:
    for overlay, kinds in (("overlay", 5), ("newer", 6)):
        push(registry.push(layout, "images/c"), add_image(layout, NAME, overlay, BIG), "latest")
        pull(registry.pull(there, "images/c"), "latest")
        assert registry.requests("GET", "images/c/blobs/.*") == [200] * kinds


def test_another_repositorys_blobs_are_taken_over_without_travelling(registry: Registry, layout: Layout) -> None:
    manifest = add_image(layout, NAME, "overlay", BIG)
    push(registry.push(layout, "images/d"), manifest, "latest")
    assert push(registry.push(layout, "images/e", mount_from="images/d"), manifest, "latest") == 0
    assert registry.requests("PATCH", "images/e/blobs/uploads/.*") == []
    assert push(registry.push(layout, "images/f", mount_from="images/unknown"), manifest, "latest") > len(BIG)


def test_what_is_attached_travels_along_and_so_does_what_is_attached_to_that(
    registry: Registry, layout: Layout, there: Layout
) -> None:
    subject = add_image(layout, NAME, "overlay")
    lists = [
        attach(layout, subject, kind, [Layer(kind, "a.json", layout.put(kind.encode()))]) for kind in (SPDX, "a/other")
    ]
    signature = attach(layout, lists[0], "a/signature", [Layer("a/signature", "a.sig", layout.put(b"signature"))])
    for _ in range(2):
        push(registry.push(layout, "images/g"), subject, "latest")
    assert registry.requests("PUT", f"images/g/manifests/sha256-{subject.sha256}") == [201, 201]
    pull(registry.pull(there, "images/g"), "latest")
    assert referrers(there, subject) == referrers(layout, subject)
    assert [referrer.manifest for referrer in referrers(there, lists[0])] == [signature]


class Stopped(Exception):
    """Somebody stops the program."""


class Stopping(Repository):
    """Is stopped when it is about to send one piece more than it was told to."""

    pieces = 2

    def send(self, upload: Upload, data: bytes) -> Upload:
        if self.pieces == 0:
            raise Stopped
        self.pieces -= 1
        return super().send(upload, data)


def test_stopped_push_goes_on_with_the_next_piece(registry: Registry, layout: Layout, there: Layout) -> None:
    manifest = add_image(layout, NAME, "", BIG)
    job = Push(layout, Stopping(registry.repository("images/h")._transport, "images/h"), nothing)
    for part in ("", "kernel", "initrd", "{}"):
        pushing._upload(registry.push(layout, "images/h"), layout.put(part.encode()), Meter("", 0, nothing))
    with pytest.raises(Stopped):
        push(job, manifest, "latest")
    assert len(list((layout.root / "uploads").iterdir())) == 1
    assert push(registry.push(layout, "images/h"), manifest, "latest") == 2 * PIECE
    assert pull(registry.pull(there, "images/h"), "latest")[0] == manifest


def test_push_begins_anew_when_the_registry_has_forgotten_the_upload(registry: Registry, layout: Layout) -> None:
    manifest = add_image(layout, NAME, "overlay", BIG)
    with pytest.raises(Stopped):
        push(Push(layout, Stopping(registry.repository("images/i")._transport, "images/i"), nothing), manifest, "x")
    for note in (layout.root / "uploads").iterdir():
        note.write_text(f"http://{registry.host}/v2/images/i/blobs/uploads/00000000-0000-0000-0000-000000000000")
    push(registry.push(layout, "images/i"), manifest, "x")
    assert registry.repository("images/i").has_blob(_base(layout).blob)


@pytest.mark.parametrize("sent", [PIECE // 2, 3 * PIECE])
def test_push_survives_a_connection_that_breaks(registry: Registry, layout: Layout, wire: Wire, sent: int) -> None:
    manifest = add_image(layout, NAME, f"overlay {sent}", f"{sent}{BIG}")
    wire.cuts.append(("up", sent))
    events: list[Event] = []
    push(Push(layout, registry.repository("images/j", port=wire.port), events.append), manifest, "latest")
    assert wire.cuts == []
    assert any("trying again" in event.message for event in events if isinstance(event, Note))
    assert registry.repository("images/j").has_blob(_base(layout).blob)


def test_pull_goes_on_where_connections_break(registry: Registry, layout: Layout, there: Layout, wire: Wire) -> None:
    manifest = add_image(layout, NAME, "overlay", BIG)
    push(registry.push(layout, "images/k"), manifest, "latest")
    wire.cuts += [("down", 2 * PIECE), ("down", PIECE)]
    job = Pull(there, registry.repository("images/k", port=wire.port), nothing)
    assert pull(job, "latest")[0] == manifest
    assert wire.cuts == []
    assert registry.requests("GET", f"images/k/blobs/{_base(layout).blob.digest}") == [200, 206, 206]


def test_stopped_pull_goes_on_where_it_was(
    registry: Registry, layout: Layout, there: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = add_image(layout, NAME, "overlay", BIG)
    push(registry.push(layout, "images/l"), manifest, "latest")
    base = _base(layout).blob
    partial = there.root / "partial" / base.sha256
    partial.parent.mkdir()
    partial.write_text(BIG[: 3 * PIECE])
    assert pull(registry.pull(there, "images/l"), "latest")[0] == manifest
    assert registry.requests("GET", f"images/l/blobs/{base.digest}") == [206]
    assert there.read(base.sha256) == BIG.encode()


@pytest.mark.parametrize("left", ["wrong" * PIECE, "base", BIG + "more"])
def test_wrong_beginning_of_a_blob_is_thrown_away(registry: Registry, layout: Layout, there: Layout, left: str) -> None:
    manifest = add_image(layout, NAME, "overlay", BIG)
    push(registry.push(layout, "images/m"), manifest, "latest")
    partial = there.root / "partial" / _base(layout).blob.sha256
    partial.parent.mkdir()
    partial.write_text(left)
    job = registry.pull(there, "images/m")
    if not BIG.startswith(left):
        with pytest.raises(RegistryError, match="something else"):
            pull(job, "latest")
        assert not partial.exists()
    assert pull(job, "latest")[0] == manifest


def test_what_is_not_there_is_told(registry: Registry, layout: Layout, there: Layout) -> None:
    push(registry.push(layout, "images/n"), add_image(layout, NAME, "overlay"), "latest")
    for repository, reference in (("images/n", "unknown"), ("unknown", "latest"), ("images/n", f"sha256:{'0' * 64}")):
        with pytest.raises(RegistryError, match=f"{repository} has no `{reference}`"):
            pull(registry.pull(there, repository), reference)


def test_curl_fetches_a_layer_by_its_digest(registry: Registry, layout: Layout, tmp_path: Path) -> None:
    push(registry.push(layout, "images/o"), add_image(layout, NAME, "overlay", BIG), "latest")
    base = _base(layout).blob
    url = f"http://{registry.host}/v2/images/o/blobs/{base.digest}"
    argv = ["curl", "--fail", "--silent", "--show-error", "--output", str(tmp_path / "base"), url]
    subprocess.run(argv, check=True)
    assert (tmp_path / "base").read_text() == BIG


def test_transfers_say_what_they_do(registry: Registry, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagebuilder.store.meter._SECONDS", 0.0)
    events: list[Event] = []
    report: Report = events.append
    manifest = add_image(layout, NAME, "overlay", BIG)
    push(Push(layout, registry.repository("images/p"), report), manifest, "latest")
    assert [event.step for event in events if isinstance(event, StepStarted)] == [
        "44136fa355b3",
        "vmlinuz-6.1",
        "initrd.img-6.1",
        "base.squashfs.img",
        "extra.overlay.cpio.gz",
    ]
    said = [event.message for event in events if event.step == "base.squashfs.img" and hasattr(event, "message")]
    assert said == [f"{kilobytes} kB of 262 kB" for kilobytes in ("65.5", "131", "197", "262")]
