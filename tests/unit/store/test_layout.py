"""Blobs are what their names say, appear whole, and are never changed."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagebuilder import digest
from imagebuilder.errors import ImagebuilderError
from imagebuilder.store.layout import Blob, Layout


def test_new_store_is_an_oci_image_layout(layout: Layout) -> None:
    assert json.loads((layout.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(layout.index.read_text())
    assert (index["schemaVersion"], index["manifests"]) == (2, [])


def test_preparing_leaves_what_is_there(layout: Layout) -> None:
    layout.index.write_text('{"manifests": ["mine"]}')
    layout.prepare()
    assert layout.index.read_text() == '{"manifests": ["mine"]}'


def test_index_that_another_machine_has_made_is_not_replaced_though_it_is_not_seen_yet(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.index.write_text('{"manifests": ["theirs"]}')
    monkeypatch.setattr(Path, "exists", lambda _: False)
    layout.prepare()
    assert layout.index.read_text() == '{"manifests": ["theirs"]}'
    assert layout.left_over() == []


def test_layout_of_another_version_is_refused(layout: Layout) -> None:
    (layout.root / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}')
    with pytest.raises(ImagebuilderError, match=r"version 2\.0\.0"):
        layout.prepare()


def test_blob_is_known_by_its_content_and_cannot_be_written_to(layout: Layout) -> None:
    blob = layout.put(b"content")
    assert blob == Blob(digest.of_bytes(b"content"), 7)
    assert blob.digest == f"sha256:{blob.sha256}"
    assert layout.read(blob.sha256) == b"content"
    assert stat.S_IMODE(layout.path(blob.sha256).stat().st_mode) == 0o444


def test_adopted_file_is_a_blob_and_has_lost_its_name(layout: Layout, tmp_path: Path) -> None:
    for _ in range(2):  # the second is there already
        (tmp_path / "file").write_bytes(b"content")
        blob = layout.adopt(tmp_path / "file")
        assert not (tmp_path / "file").exists()
        assert layout.read(blob.sha256) == b"content"
        assert stat.S_IMODE(layout.path(blob.sha256).stat().st_mode) == 0o444
    assert layout.total() == (1, 7)


def test_same_blob_can_be_put_by_many_at_once(layout: Layout) -> None:
    with ThreadPoolExecutor(8) as pool:
        blobs = set(pool.map(lambda _: layout.put(b"{}"), range(64)))
    assert len(blobs) == 1
    assert os.listdir(layout.blobs) == [blob.sha256 for blob in blobs]


def test_missing_and_damaged_blobs_are_not_read(layout: Layout) -> None:
    blob = layout.put(b"content")
    layout.path(blob.sha256).write_bytes(b"Content")
    with pytest.raises(ImagebuilderError, match="damaged") as damaged:
        layout.read(blob.sha256)
    assert "store verify" in (damaged.value.hint or "")
    with pytest.raises(ImagebuilderError, match="has no blob"):
        layout.read("0" * 64)


def test_blob_that_is_set_aside_is_not_here_but_can_be_looked_at(layout: Layout) -> None:
    blob = layout.put(b"content")
    layout.set_aside(blob.sha256)
    assert not layout.has(blob.sha256)
    assert (layout.root / "damaged" / blob.sha256).read_bytes() == b"content"


def test_unfinished_files_are_no_blobs_but_left_over(layout: Layout) -> None:
    blob = layout.put(b"content")
    left = [layout.blobs / f".{blob.sha256}.x1.new", layout.root / ".index.json.x.new", layout.root / "partial/abc"]
    left += [layout.root / "incoming/killed", layout.root / "uploads/x"]
    for path in left:
        path.mkdir(parents=True) if path.name == "killed" else path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.touch()
    assert list(layout.all_blobs()) == [blob]
    assert layout.left_over() == sorted(left)


def test_store_is_emptied_only_while_nobody_uses_it(layout: Layout) -> None:
    with layout.used(), layout.used(), pytest.raises(ImagebuilderError, match="somebody builds"), layout.emptied():
        pass
    with layout.emptied():
        pass
