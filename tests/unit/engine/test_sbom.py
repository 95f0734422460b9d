"""Bills of materials are attached to manifests once, and found by name, digest and layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagebuilder.engine.difference import Change, LayerDifference, compare
from imagebuilder.engine.parts import read_parts
from imagebuilder.engine.sbom import FORMATS, Format, attach_sboms, find_document, find_manifest
from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.sbom.packages import Identity, Package, PackageList
from imagebuilder.store.index import change_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import BASE, INITRD, KERNEL, OVERLAYS, Layer, Manifest

SPDX = FORMATS["spdx"]
KERNEL_LAYERS = {"vmlinuz-6.1": (KERNEL, {"linux": "1"}), "initrd.img-6.1": (INITRD, {"linux": "1", "busybox": "1"})}
OLD = {**KERNEL_LAYERS, "base.6.1.img": (BASE, {"openssl": "1", "same": "1", "less": "1"})}
NEW = {
    **KERNEL_LAYERS,
    "base.6.2.img": (BASE, {"openssl": "2", "same": "1", "more": "1"}),
    "x.overlay.cpio.gz": (OVERLAYS["cpio.gz"], {"lshw": "1"}),
}
CHANGES = (
    LayerDifference("vmlinuz-6.1", "vmlinuz-6.1", equal=True, changes=(), files=()),
    LayerDifference("initrd.img-6.1", "initrd.img-6.1", equal=True, changes=(), files=()),
    LayerDifference(
        "base.6.1.img",
        "base.6.2.img",
        equal=False,
        changes=(Change("less", "1", ""), Change("more", "", "1"), Change("openssl", "1", "2")),
    ),
    LayerDifference("", "x.overlay.cpio.gz", equal=False, changes=(Change("lshw", "", "1"),)),
)

Layers = dict[str, tuple[str, dict[str, str]]]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A store with the manifests `old` and `new`, both described."""
    layout = Layout(tmp_path / "store")
    layout.prepare()
    lists: dict[str, Blob] = {}
    made = {}
    for name, layers in (("old:latest", OLD), ("new:latest", NEW)):
        parts = []
        for title, (kind, packages) in layers.items():
            parts.append(Layer(kind, title, layout.put(f"{title} {packages}".encode())))
            lists[title] = layout.put(_list(packages).to_json().encode())
        made[name] = layout.put(Manifest(tuple(parts), "2024-06-03T00:00:00Z").to_bytes())
        change_index(layout, lambda index, name=name: index.moved(name, made[name]))  # type: ignore[misc]
    attach_sboms(layout, made.values(), lists)
    with pytest.MonkeyPatch.context() as nothing_to_do:
        nothing_to_do.delattr(Format, "document")
        attach_sboms(layout, made.values(), lists)
    return layout


def _list(packages: dict[str, str]) -> PackageList:
    found = (Package(Identity(name, "amd64", version), name, version) for name, version in packages.items())
    return PackageList("debian", "bookworm", tuple(sorted(found)))


def _names(document: bytes) -> set[str]:
    return {package["name"] for package in json.loads(document)["packages"]}


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        ("kernel", {"vmlinuz-6.1", "linux"}),
        ("base.6.2.img", {"base.6.2.img", "openssl", "same", "more"}),
        ("x", {"x.overlay.cpio.gz", "lshw"}),
        ("overlay", {"x.overlay.cpio.gz", "lshw"}),
        (None, {*NEW, "linux", "busybox", "openssl", "same", "more", "lshw"}),
    ],
)
def test_document_is_found_by_name_and_layer(layout: Layout, layer: str | None, names: set[str]) -> None:
    assert _names(find_document(layout, "new", SPDX, layer)) == names
    blob, _ = find_manifest(layout, "new:latest")
    assert find_document(layout, blob.digest, SPDX, layer) == find_document(layout, "new", SPDX, layer)
    assert json.loads(find_document(layout, "new", FORMATS["cyclonedx"], layer))["specVersion"] == "1.5"


@pytest.mark.parametrize(
    ("name", "layer", "message", "hint"),
    [
        ("newer", None, "has no manifest `newer`", "did you mean `new`?"),
        ("zzz", None, "has no manifest `zzz`", "it has: new:latest, old:latest"),
        (f"sha256:{'0' * 64}", None, "has no manifest `sha256:0", None),
        ("new", "initramfs", "`initramfs` is no layer here", "one of `vmlinuz-6.1`, "),
        ("old", "overlay", "`overlay` is no layer here", "one of "),
    ],
)
def test_what_is_not_there_is_an_error_with_what_is(
    layout: Layout, name: str, layer: str | None, message: str, hint: str | None
) -> None:
    with pytest.raises(UserError) as caught:
        find_document(layout, name, SPDX, layer)
    assert message in caught.value.message
    assert (caught.value.hint or "").startswith(hint or "")


def test_manifest_without_documents_says_how_to_get_them(layout: Layout) -> None:
    bare = layout.put(Manifest((), "2024-06-03T00:00:00Z").to_bytes())
    with pytest.raises(ImagebuilderError, match="no bill of materials"):
        find_document(layout, bare.digest, SPDX, None)


def test_images_are_compared_layer_by_layer(layout: Layout) -> None:
    assert compare(read_parts(layout, "old"), read_parts(layout, "new")) == CHANGES


def test_artifact_folder_is_known_by_its_digests(layout: Layout, tmp_path: Path) -> None:
    folder = tmp_path / "builds"
    folder.mkdir()
    _, manifest = find_manifest(layout, "new")
    for layer in manifest.layers:
        (folder / layer.title).write_bytes(layout.read(layer.blob.sha256))
    (folder / ".lock").touch()
    assert sorted(compare(read_parts(layout, "old"), read_parts(layout, str(folder))), key=str) == sorted(
        CHANGES, key=str
    )
    (folder / "base.6.2.img").write_text("of nobody")
    differences = compare(read_parts(layout, "new"), read_parts(layout, f"{folder}/"))
    assert [(d.old, d.equal, d.changes) for d in differences if not d.equal] == [("base.6.2.img", False, None)]
    with pytest.raises(UserError, match="no artifact folder"):
        read_parts(layout, str(tmp_path / "nothing"))
