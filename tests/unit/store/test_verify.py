"""What is wrong with a store is found, set aside, and mended where it can be."""

from __future__ import annotations

import json

import pytest

from imagebuilder.errors import ImagebuilderError
from imagebuilder.events import Event
from imagebuilder.store.actions import Actions
from imagebuilder.store.index import change_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import Manifest
from imagebuilder.store.verify import Fault, verify
from stores import add_action, add_image, damage

NAMES = ("extra:latest", "extra:stable")


def _verify(layout: Layout) -> tuple[Fault, ...]:
    return verify(layout, _ignore)


def _ignore(_: Event) -> None:
    pass


def _image(layout: Layout) -> tuple[Blob, Manifest]:
    """An image under two names."""
    manifest, _ = (add_image(layout, name, "overlay") for name in NAMES)
    return manifest, Manifest.from_bytes(layout.read(manifest.sha256))


def test_whole_store_has_no_faults(layout: Layout) -> None:
    _image(layout)
    add_action(layout, "1" * 64, "overlay")
    assert _verify(layout) == ()


def test_damaged_blob_is_set_aside_with_the_names_that_need_it_and_its_step_counts_as_not_done(layout: Layout) -> None:
    _image(layout)
    blob = add_action(layout, "1" * 64, "overlay")
    damage(layout, blob)
    assert _verify(layout) == (Fault("damaged", blob.digest, NAMES, "set aside"),)
    assert not layout.has(blob.sha256)
    assert Actions(layout).find("1" * 64) is None
    assert _verify(layout) == (Fault("missing", blob.digest, NAMES, ""),)
    add_action(layout, "1" * 64, "overlay")  # the next build makes it again
    assert _verify(layout) == ()


def test_damaged_manifest_is_found_under_all_its_names(layout: Layout) -> None:
    manifest, _ = _image(layout)
    add_image(layout, NAMES[0], "newer")
    damage(layout, manifest)
    assert _verify(layout) == (
        Fault("damaged", manifest.digest, ("extra:stable", "extra:latest, before"), "set aside"),
    )


def test_damaged_blob_that_nobody_needs_is_set_aside_too(layout: Layout) -> None:
    blob = layout.put(b"garbage")
    damage(layout, blob)
    assert _verify(layout) == (Fault("damaged", blob.digest, (), "set aside"),)
    assert _verify(layout) == ()


def test_missing_parts_of_what_another_program_put_there_are_told(layout: Layout) -> None:
    entry = {"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 1}
    change_index(layout, lambda index: index.with_foreign(entry))
    assert _verify(layout) == (Fault("missing", "sha256:" + "0" * 64, ("another program",), ""),)


def test_false_records_are_told_and_forgotten(layout: Layout) -> None:
    blob = add_action(layout, "1" * 64, "gone")
    layout.path(blob.sha256).unlink()
    (layout.root / "actions" / ("2" * 64)).write_text("garbage")
    assert _verify(layout) == (
        Fault("record", "1" * 64, ("a step",), "forgotten"),
        Fault("record", "2" * 64, (), "forgotten"),
    )
    assert _verify(layout) == ()


def test_what_is_lost_is_fetched_from_a_manifest_down(layout: Layout) -> None:
    manifest, image = _image(layout)
    contents = {blob: layout.read(blob.sha256) for blob in layout.all_blobs()}
    base, overlay = (layer.blob for layer in image.layers[2:])
    damage(layout, manifest)
    damage(layout, base)
    layout.path(overlay.sha256).unlink()
    asked: list[tuple[Blob, bool]] = []

    def fetch(blob: Blob, is_manifest: bool) -> bool:
        asked.append((blob, is_manifest))
        return layout.put(contents[blob]) == blob

    faults = verify(layout, _ignore, fetch)
    assert asked[0] == (manifest, True)
    assert set(asked[1:]) == {(base, False), (overlay, False)}
    assert {(fault.what, fault.name, fault.done, fault.mended) for fault in faults} == {
        ("damaged", manifest.digest, "fetched", True),
        ("damaged", base.digest, "fetched", True),
        ("missing", overlay.digest, "fetched", True),
    }
    assert _verify(layout) == ()


def test_what_cannot_be_fetched_is_asked_for_once_and_stays_a_fault(layout: Layout) -> None:
    _, image = _image(layout)
    for layer in image.layers[:2]:
        layout.set_aside(layer.blob.sha256)
    asked: list[Blob] = []

    def fetch(blob: Blob, is_manifest: bool) -> bool:
        asked.append(blob)
        return False

    faults = verify(layout, _ignore, fetch)
    assert sorted(asked, key=lambda blob: blob.sha256) == sorted(
        (layer.blob for layer in image.layers[:2]), key=lambda blob: blob.sha256
    )
    assert [(fault.what, fault.mended, fault.needed_by) for fault in faults] == [("missing", False, NAMES)] * 2


def test_index_that_cannot_be_read_is_an_error_and_damaged_blobs_are_set_aside_all_the_same(layout: Layout) -> None:
    blob = layout.put(b"content")
    damage(layout, blob)
    layout.index.write_text(json.dumps({"manifests": 1}))
    with pytest.raises(ImagebuilderError, match="is no index"):
        _verify(layout)
    assert not layout.has(blob.sha256)
