"""What goes and what stays: names, their past, what is attached, folders that the next build starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.errors import ImagebuilderError
from imagebuilder.store.actions import Actions
from imagebuilder.store.gc import Removal, find_unneeded, prune, remove
from imagebuilder.store.index import change_index, read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import MANIFEST_TYPE, Layer, descriptor
from imagebuilder.store.referrers import attach, referrers
from imagebuilder.store.trees import Trees
from stores import SPDX, add_action, add_image, damage, record

NAME = "extra:latest"


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path / "trees")


def _gc(
    layout: Layout, trees: Trees, keep: int = 0, *, dry_run: bool = False, latest: tuple[str, ...] = ()
) -> tuple[Removal, ...]:
    removals = find_unneeded(layout, trees, prune(layout, keep, dry_run=dry_run), latest).removals
    if not dry_run:
        remove(removals, trees)
    return removals


def _kinds(removals: tuple[Removal, ...]) -> list[str]:
    return [removal.kind for removal in removals]


def _contents(layout: Layout) -> set[str]:
    """The texts of all blobs but manifests."""
    texts = {layout.path(blob.sha256).read_text() for blob in layout.all_blobs()}
    return {text for text in texts if not text.startswith("{\n")}


def _attach(layout: Layout, subject: Blob, text: str) -> Blob:
    return attach(layout, subject, SPDX, [Layer(SPDX, "a.json", layout.put(text.encode()))])


def _keep_folder(trees: Trees, step: str, *, reads: tuple[str, ...] = ()) -> None:
    with trees.work() as work:
        folder = trees.begin(work, step)
        (folder / "file").write_text("x" * 10)
        trees.keep(folder, step, record(reads=reads))


def test_what_names_and_channels_need_stays(layout: Layout, trees: Trees) -> None:
    add_image(layout, NAME, "one")
    add_image(layout, "extra:stable", "two", base="old base")
    layout.put(b"garbage")
    assert _kinds(_gc(layout, trees)) == ["blob"]
    assert _contents(layout) == {"{}", "kernel", "initrd", "base", "old base", "one", "two"}
    assert _gc(layout, trees) == ()


@pytest.mark.parametrize(("keep", "kept"), [(0, {"c"}), (1, {"b", "c"}), (5, {"a", "b", "c"})])
def test_last_builds_stay(layout: Layout, trees: Trees, keep: int, kept: set[str]) -> None:
    for overlay in "abc":
        add_image(layout, NAME, overlay)
    _gc(layout, trees, keep)
    assert _contents(layout) & {"a", "b", "c"} == kept
    assert len(read_index(layout).past) == len(kept) - 1


def test_what_is_attached_stays_with_what_it_is_about_and_goes_with_it(layout: Layout, trees: Trees) -> None:
    old = add_image(layout, NAME, "a")
    _attach(layout, _attach(layout, old, "list of a"), "signature of the list of a")
    new = add_image(layout, NAME, "b")
    _attach(layout, _attach(layout, new, "list of b"), "signature of the list of b")
    _gc(layout, trees, 1)
    assert len(referrers(layout, old)) == 1
    _gc(layout, trees, 0)
    assert referrers(layout, old) == ()
    assert _contents(layout) - {"{}", "kernel", "initrd", "base"} == {
        "b",
        "list of b",
        "signature of the list of b",
    }


def test_images_of_other_programs_stay_with_all_their_parts(layout: Layout, trees: Trees) -> None:
    part = layout.put(b"of another program")
    config = layout.put(b"its config")
    image = layout.put(
        f'{{\n"config": {{"digest": "{config.digest}", "size": 1}}, '
        f'"layers": [{{"digest": "{part.digest}", "size": 1}}]}}'.encode()
    )
    index = layout.put(f'{{\n"manifests": [{{"digest": "{image.digest}", "size": 1}}]}}'.encode())
    entry = descriptor("application/vnd.oci.image.index.v1+json", index)
    text = descriptor("text/plain", layout.put(b"no JSON"))
    unknown = {**descriptor(MANIFEST_TYPE, Blob("", 1)), "digest": "sha512:" + "0" * 128}
    change_index(layout, lambda index: index.with_foreign(entry, text, unknown))
    assert _gc(layout, trees) == ()
    assert read_index(layout).foreign == (entry, text, unknown)


def test_folders_that_current_blobs_were_made_of_stay_and_those_of_the_past_go(layout: Layout, trees: Trees) -> None:
    for number, step in enumerate(("1" * 64, "2" * 64)):
        root, upper, pack = (f"{number}{letter}" * 32 for letter in "abc")
        _keep_folder(trees, root)
        _keep_folder(trees, upper, reads=(root,))
        add_action(layout, pack, f"middle {step}", reads=(upper,))
        add_action(layout, step, f"overlay {step}", reads=(pack, "f" * 64))
        add_image(layout, NAME, f"overlay {step}")
    removals = _gc(layout, trees, 1)
    assert sorted(_kinds(removals)) == ["blob", "folder", "folder", "record"]
    assert {path.name for path in trees.folders()} == {"1a" * 8, "1b" * 8}
    assert {text for text in _contents(layout) if text.startswith("middle")} == {f"middle {'2' * 64}"}
    assert {step for step, _ in Actions(layout).all()} == {"1" * 64, "2" * 64, "1c" * 32}


def test_what_was_last_made_beside_of_folders_that_stay_stays(layout: Layout, trees: Trees) -> None:
    root, gone, pack, listed, old, other, folder = ("123456789"[number] * 64 for number in range(7))
    _keep_folder(trees, root)
    _keep_folder(trees, folder, reads=(root,))
    add_action(layout, pack, "overlay", reads=(root,))
    add_action(layout, listed, "list", reads=(root,))
    add_action(layout, old, "older list", reads=(root,))
    add_action(layout, other, "list of another", reads=(root, gone))
    add_image(layout, NAME, "overlay")
    _gc(layout, trees, latest=(pack, listed, other, folder))
    assert {text for text in _contents(layout) if "list" in text} == {"list"}
    assert [path.name for path in trees.folders()] == [root[:16]]


def test_what_was_made_of_what_is_attached_stays_too(layout: Layout, trees: Trees) -> None:
    root, pack, footing, check, other = (f"{number}" * 64 for number in range(5))
    _keep_folder(trees, root)
    add_action(layout, pack, "overlay", reads=(root,))
    add_action(layout, footing, "footing", reads=("f" * 64,))
    add_action(layout, check, "check", reads=(root, footing))
    add_action(layout, other, "another check", reads=(root, "f" * 64))
    _attach(layout, add_image(layout, NAME, "overlay"), "footing")
    _gc(layout, trees, latest=(check, other, footing))
    assert {text for text in _contents(layout) if "check" in text} == {"check"}
    assert {step for step, _ in Actions(layout).all()} == {pack, footing, check}


def test_records_without_blobs_and_unreadable_ones_go(layout: Layout, trees: Trees) -> None:
    layout.set_aside(add_action(layout, "1" * 64, "gone").sha256)
    (layout.root / "actions/garbage").write_text("garbage")
    (layout.root / "damaged").rename(layout.root / "elsewhere")
    assert _kinds(_gc(layout, trees)) == ["record", "record"]


def test_dry_run_finds_the_same_and_touches_nothing(layout: Layout, trees: Trees) -> None:
    for overlay in "ab":
        _attach(layout, add_image(layout, NAME, overlay), f"list of {overlay}")
    _keep_folder(trees, "1" * 64)
    before = sorted(layout.root.rglob("*")), layout.index.read_text()
    found = _gc(layout, trees, dry_run=True)
    assert (sorted(layout.root.rglob("*")), layout.index.read_text()) == before
    assert _gc(layout, trees) == found
    assert sorted(_kinds(found)) == ["blob"] * 4 + ["folder"]


def test_left_overs_of_killed_processes_go(layout: Layout, trees: Trees) -> None:
    with layout.incoming() as room:
        killed = room.with_name("killed")
        killed.mkdir()
        (killed / "half").write_text("x" * 5)
    (layout.root / "partial").mkdir()
    (layout.root / "partial" / ("0" * 64)).write_text("x" * 7)
    with trees.work() as work:
        (work.with_name("killed") / "tree").mkdir(parents=True)
    removals = _gc(layout, trees)
    assert [(removal.kind, removal.size) for removal in removals] == [
        ("left over", 5),
        ("left over", 7),
        ("left over", 0),
    ]
    assert (layout.left_over(), trees.left_over()) == ([], [])


def test_blob_that_an_artifact_folder_shows_gives_nothing_free(layout: Layout, trees: Trees, tmp_path: Path) -> None:
    shown, _ = layout.put(b"shown"), layout.put(b"not shown")
    (tmp_path / "artifact").hardlink_to(layout.path(shown.sha256))
    assert sorted(removal.size for removal in _gc(layout, trees)) == [0, len("not shown")]
    assert (tmp_path / "artifact").read_text() == "shown"


def test_nothing_goes_when_it_is_not_known_what_is_needed(layout: Layout, trees: Trees) -> None:
    manifest = add_image(layout, NAME, "a")
    layout.put(b"garbage")
    damage(layout, manifest)
    with pytest.raises(ImagebuilderError, match="damaged"):
        _gc(layout, trees)
    layout.set_aside(manifest.sha256)
    with pytest.raises(ImagebuilderError, match="has no blob"):
        _gc(layout, trees)
    assert "garbage" in _contents(layout)
