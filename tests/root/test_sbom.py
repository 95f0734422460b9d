"""The bills of materials of a real build: attached, valid, and true of what is in the images."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from builds import PROGRAM, listed
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import Manifest

pytestmark = [pytest.mark.root, pytest.mark.network]


@pytest.fixture(scope="module")
def images(built_images: Path, package_cache: Path) -> dict[str, str]:
    """The digests of the manifests of the default images, by the start of their top layer's name."""
    layout = Layout(package_cache / "store")
    index = read_index(layout)
    artifacts = set(listed(built_images).values())
    found = {}
    for blob in (*index.names.values(), *(former.manifest for former in index.past)):
        layers = Manifest.from_bytes(layout.read(blob.sha256)).layers
        if {layer.blob.sha256 for layer in layers} <= artifacts and "-cloud-" not in layers[0].title:
            found[layers[-1].title.partition(".")[0]] = blob.digest
    return found


def _run(cache: Path, *arguments: str | Path) -> str:
    argv: list[str | Path] = [PROGRAM, *arguments, "--cache", cache]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def _packages(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {package["name"]: package for package in document["packages"] if "externalRefs" in package}


@pytest.mark.parametrize("layer", [(), ("--layer", "base"), ("--layer", "initrd"), ("--layer", "discovery")])
def test_documents_are_valid(
    images: dict[str, str], package_cache: Path, tmp_path: Path, layer: tuple[str, ...]
) -> None:
    path = tmp_path / "x.spdx.json"
    path.write_text(_run(package_cache, "sbom", images["discovery"], *layer))
    found = validate_full_spdx_document(parse_file(str(path)), "SPDX-2.3")
    assert [message.validation_message for message in found] == []
    cyclonedx = _run(package_cache, "sbom", images["discovery"], *layer, "--format", "cyclonedx")
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(cyclonedx) is None


def test_base_lists_what_dpkg_has(images: dict[str, str], built_images: Path, package_cache: Path) -> None:
    document = json.loads(_run(package_cache, "sbom", images["base"], "--layer", "base"))
    (image,) = built_images.glob("base.*.squashfs.img")
    argv: list[str | Path] = ["unsquashfs", "-cat", image, "var/lib/dpkg/status"]
    status = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    names = {line.partition(": ")[2] for line in status.splitlines() if line.startswith("Package: ")}
    packages = _packages(document)
    assert set(packages) == names
    assert all("checksums" in package for package in packages.values())
    certain = [package for package in packages.values() if package["licenseDeclared"] != "NOASSERTION"]
    assert len(certain) > len(packages) / 4


def test_initrd_brings_the_copyright_of_what_it_is_made_of(images: dict[str, str], package_cache: Path) -> None:
    packages = _packages(json.loads(_run(package_cache, "sbom", images["base"], "--layer", "initrd")))
    kernel = next(package for name, package in packages.items() if name.startswith("linux-image-"))
    assert {"busybox-static", "firmware-realtek"} <= packages.keys()
    assert "GPL" in kernel["copyrightText"]
    assert "debianized by" in packages["busybox-static"]["copyrightText"]


def test_artifact_folder_is_what_the_store_says(
    images: dict[str, str], built_images: Path, package_cache: Path
) -> None:
    done = json.loads(_run(package_cache, "diff", "--json", images["discovery"], built_images))
    of_image = [layer for layer in done["layers"] if layer["old"]]
    assert len(of_image) == 4
    assert all(layer["equal"] for layer in of_image)


def test_diff_says_what_an_overlay_adds(images: dict[str, str], package_cache: Path) -> None:
    lines = _run(package_cache, "diff", images["base"], images["discovery"]).splitlines()
    assert "discovery.overlay.cpio.gz: only in B" in lines
    assert any(line.startswith("  + lshw ") for line in lines)
    assert sum(line.endswith(": equal") for line in lines) == 3
