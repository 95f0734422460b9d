"""What a server sees of a store, and that it sees changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagebuilder.serve.catalog import Shelf, read_catalog
from imagebuilder.store.index import change_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import Layer
from imagebuilder.store.referrers import attach
from imagebuilder.store.signing import SIGNATURE_TYPE
from stores import SPDX, add_image, damage


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "store")
    layout.prepare()
    return layout


def sign(layout: Layout, manifest: Blob, image: str, text: str) -> Blob:
    signature = layout.put(text.encode())
    attach(layout, manifest, SIGNATURE_TYPE, [Layer(SIGNATURE_TYPE, f"{image}.manifest.json.minisig", signature)])
    return signature


def test_store_that_is_not_there_yet_offers_nothing(tmp_path: Path) -> None:
    assert not read_catalog(Layout(tmp_path / "none")).names


def test_files_are_those_of_the_latest_images_and_have_sums(layout: Layout) -> None:
    latest = add_image(layout, "discovery:latest", "new")
    add_image(layout, "discovery:stable", "old")
    catalog = read_catalog(layout)
    assert layout.read(catalog.files["extra.overlay.cpio.gz"].sha256) == b"new"
    assert catalog.files["discovery.manifest.json"] == latest
    assert f"{catalog.files['vmlinuz-6.1'].sha256}  vmlinuz-6.1\n" in catalog.sums()
    assert catalog.tags("discovery") == ["latest", "stable"]


def test_manifest_that_a_name_left_can_still_be_had(layout: Layout) -> None:
    old = add_image(layout, "discovery:latest", "old")
    add_image(layout, "discovery:latest", "new")
    assert old.sha256 in read_catalog(layout).images


def test_signature_is_the_last_one_under_the_name_that_is_asked_for(layout: Layout) -> None:
    manifest = add_image(layout, "discovery:latest", "x")
    assert add_image(layout, "inventory:latest", "x") == manifest
    attach(layout, manifest, SPDX, [Layer(SPDX, "discovery.spdx.json", layout.put(b"{}"))])
    sign(layout, manifest, "discovery", "first")
    last = sign(layout, manifest, "discovery", "second")
    other = sign(layout, manifest, "inventory", "other")
    catalog = read_catalog(layout)
    assert catalog.signature(manifest.sha256, "discovery") == last
    assert catalog.signature(manifest.sha256, "inventory") == other
    assert catalog.signature(manifest.sha256) == other
    assert catalog.signature(manifest.sha256, "raid") is None
    assert catalog.files["discovery.manifest.json.minisig"] == last
    assert len(catalog.referrers[manifest.sha256]) == 4


def test_damaged_manifest_takes_away_its_own_names_only(layout: Layout) -> None:
    add_image(layout, "raid:latest", "raid")
    damage(layout, add_image(layout, "discovery:latest", "x"))
    catalog = read_catalog(layout)
    assert catalog.image_names() == ["raid"]
    assert "is damaged" in catalog.problems[0]


def test_change_is_seen_and_a_broken_index_is_not(layout: Layout) -> None:
    said: list[str] = []
    shelf = Shelf(layout, said.append)
    assert not shelf.catalog.names
    add_image(layout, "discovery:latest", "x")
    assert list(shelf.catalog.names) == ["discovery:latest"]
    good = shelf.catalog
    layout.index.write_text("{")
    assert shelf.catalog is good
    assert shelf.catalog is good
    assert len(said) == 1
    layout.index.unlink()
    assert shelf.catalog is good
    assert len(said) == 2


def test_name_that_was_taken_away_is_gone(layout: Layout) -> None:
    add_image(layout, "discovery:latest", "x")
    shelf = Shelf(layout, print)
    assert shelf.catalog.names
    change_index(layout, lambda index: index.without("discovery:latest"))
    assert not shelf.catalog.names
