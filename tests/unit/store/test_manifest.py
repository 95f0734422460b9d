"""A manifest's bytes, and what is refused as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imagebuilder import digest
from imagebuilder.errors import ImagebuilderError
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import (
    BASE,
    EMPTY,
    INITRD,
    KERNEL,
    OVERLAYS,
    Layer,
    Manifest,
    blob_of,
    empty_blob,
    parts_of,
)

GOLDEN = Path(__file__).parent / "manifest.json"
LAYERS = (
    Layer(KERNEL, "vmlinuz-6.1.0-1-amd64", Blob("1" * 64, 8_000_000)),
    Layer(INITRD, "initrd.img-6.1.0-1-amd64", Blob("2" * 64, 3_500_000)),
    Layer(BASE, "base.bookworm.6.1.0-1-amd64.squashfs.img", Blob("3" * 64, 38_500_000)),
    Layer(
        OVERLAYS["cpio.gz"],
        "discovery.overlay.cpio.gz",
        Blob("4" * 64, 7_300_000),
        (("on-imagebuilder.unpacked", "25600000"), ("on-imagebuilder.special", "/usr/bin/ping /usr/bin/a%20space")),
    ),
)
MANIFEST = Manifest(LAYERS, "2024-06-03T00:00:00Z")


def test_manifest_has_these_bytes() -> None:
    assert MANIFEST.to_bytes() == GOLDEN.read_bytes()
    assert Manifest.from_bytes(GOLDEN.read_bytes()) == MANIFEST


def test_manifest_says_whether_a_node_may_stack_a_layer_of_its_own() -> None:
    accepting = Manifest(LAYERS, MANIFEST.created, node_layer=True)
    assert Manifest.from_bytes(accepting.to_bytes()) == accepting
    line = b',\n    "vnd.on-imagebuilder.node-layer": "true"\n'
    assert accepting.to_bytes().replace(line, b"\n") == MANIFEST.to_bytes()


def test_parts_are_found_by_what_they_are() -> None:
    assert MANIFEST.of_type(BASE).blob.size == 38_500_000
    assert MANIFEST.overlays == LAYERS[3:]
    assert [layer.kind for layer in LAYERS] == ["kernel", "initrd", "base", "overlay"]
    assert Layer("text/plain", "a", LAYERS[0].blob).kind == "text/plain"
    with pytest.raises(ImagebuilderError, match="no layer of the type"):
        Manifest(LAYERS[:1], "").of_type(BASE)


def test_config_is_the_empty_one() -> None:
    assert empty_blob() == Blob(digest.of_bytes(EMPTY), len(EMPTY))
    assert [part.blob for part in parts_of(MANIFEST.to_bytes())] == [empty_blob(), *(layer.blob for layer in LAYERS)]


def _changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(MANIFEST.to_bytes()), **changes}).encode()


REFUSED = (
    (b"", "no OCI image manifest"),
    (b"[]", "no OCI image manifest"),
    (b"{}", "of the type None"),
    (_changed(artifactType="application/vnd.other"), "application/vnd.other"),
    (_changed(layers=[{"mediaType": "a/b"}]), "no OCI image manifest"),
    (_changed(layers=None), "no OCI image manifest"),
    (_changed(annotations={}), "no OCI image manifest"),
)


@pytest.mark.parametrize(("data", "message"), REFUSED)
def test_what_is_no_image_of_ours_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImagebuilderError, match=message):
        Manifest.from_bytes(data)


@pytest.mark.parametrize("title", ["", "../x", "/etc/passwd", "a/b", ".hidden", "..", "a\nb", "a\0"])
def test_title_that_would_leave_the_artifact_folder_is_refused(title: str) -> None:
    with pytest.raises(ImagebuilderError, match="no file name"):
        Manifest.from_bytes(Manifest((Layer(BASE, title, LAYERS[0].blob),), "").to_bytes())


@pytest.mark.parametrize(
    "name", ["sha512:" + "0" * 128, "sha256:" + "0" * 63, "sha256:" + "G" * 64, "sha256:../" + "0" * 61]
)
def test_digest_that_is_no_sha256_names_no_blob(name: str) -> None:
    with pytest.raises(ValueError, match="no sha256 digest"):
        blob_of({"digest": name, "size": 1})
