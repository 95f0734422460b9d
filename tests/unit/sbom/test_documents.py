"""SPDX and CycloneDX documents: valid for their own libraries, the same bytes again, and what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

from imagebuilder.sbom import cyclonedx, spdx
from imagebuilder.sbom.bill import Artifact, image
from imagebuilder.sbom.packages import Identity, Package, PackageList

CREATED = "2024-06-03T00:00:00Z"
DIGEST = "ab" * 32


def _package(name: str, version: str = "1:1+b1", **more: Any) -> Package:
    return Package(Identity(name, "amd64", version), f"{name}-src", "1", **more)


def _layer(title: str, *packages: Package, gone: tuple[Identity, ...] = ()) -> Artifact:
    sha256 = title.encode().hex().ljust(64, "0")[:64]
    return Artifact(title, sha256, PackageList("debian", "bookworm", packages, gone))


KERNEL = _package("linux-image", sha256=DIGEST, licences=("GPL-2 with x",), copyright="Format: a\n\ntext <b>")
OLD = _package("openssl", "1", licence="Apache-2.0", licences=("Apache-2.0",))
NEW = _package("openssl", "2", licence="(GPL-2.0-only OR MIT) AND Zlib", licences=("Expat", "Zlib"))
LAYERS = (
    _layer("vmlinuz-6.1", KERNEL),
    _layer("initrd.img-6.1", KERNEL, _package("busybox")),
    _layer("base.squashfs.img", _package("libstdc++6"), OLD),
    _layer("extra.overlay.cpio.gz", NEW, gone=(OLD.identity,)),
)
WHOLE = image("extra.overlay.cpio.gz", DIGEST, LAYERS)
ABOUT = (WHOLE, *LAYERS, _layer("empty.overlay.cpio.gz"))


@pytest.mark.parametrize("artifact", ABOUT)
def test_spdx_tools_finds_nothing_wrong(tmp_path: Path, artifact: Artifact) -> None:
    (tmp_path / "x.spdx.json").write_text(json.dumps(spdx.document(artifact, CREATED)))
    found = validate_full_spdx_document(parse_file(str(tmp_path / "x.spdx.json")), "SPDX-2.3")
    assert [message.validation_message for message in found] == []


@pytest.mark.parametrize("artifact", ABOUT)
def test_cyclonedx_schema_is_met(artifact: Artifact) -> None:
    text = json.dumps(cyclonedx.document(artifact, CREATED))
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None


def test_validators_see_what_is_wrong(tmp_path: Path) -> None:
    value = spdx.document(WHOLE, CREATED)
    value["relationships"][-1]["relatedSpdxElement"] = "SPDXRef-nobody"
    (tmp_path / "x.spdx.json").write_text(json.dumps(value))
    assert validate_full_spdx_document(parse_file(str(tmp_path / "x.spdx.json")), "SPDX-2.3")
    text = json.dumps({**cyclonedx.document(WHOLE, CREATED), "serialNumber": "x"})
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is not None


def _by_name(document: dict[str, Any]) -> dict[str, Any]:
    return {package["name"]: package for package in document["packages"]}


def test_spdx_says_source_licence_digest_and_copyright() -> None:
    found = _by_name(spdx.document(WHOLE, CREATED))
    assert found["openssl"]["licenseDeclared"] == "(GPL-2.0-only OR MIT) AND Zlib"
    assert found["openssl"]["versionInfo"] == "2"
    assert "checksums" not in found["openssl"]
    assert found["linux-image"]["licenseDeclared"] == "NOASSERTION"
    assert found["linux-image"]["licenseComments"] == "its copyright file names: GPL-2 with x"
    assert found["linux-image"]["copyrightText"] == KERNEL.copyright
    assert found["linux-image"]["checksums"] == [{"algorithm": "SHA256", "checksumValue": DIGEST}]
    assert found["busybox"]["sourceInfo"] == "built from the source package busybox-src 1"


def test_image_has_what_the_node_has_and_each_layer_what_it_brings() -> None:
    whole = spdx.document(WHOLE, CREATED)
    assert [p["versionInfo"] for p in whole["packages"] if p["name"] == "openssl"] == ["2"]
    names = {package["SPDXID"]: package["name"] for package in whole["packages"]}
    contained = [
        (names[r["spdxElementId"]], names[r["relatedSpdxElement"]])
        for r in whole["relationships"]
        if r["relationshipType"] == "CONTAINS"
    ]
    assert ("vmlinuz-6.1", "linux-image") in contained
    assert ("initrd.img-6.1", "linux-image") in contained
    assert ("extra.overlay.cpio.gz", "base.squashfs.img") in contained
    assert ("base.squashfs.img", "openssl") not in contained
    assert _by_name(spdx.document(LAYERS[2], CREATED))["openssl"]["versionInfo"] == "1"


def test_cyclonedx_says_the_same() -> None:
    document = cyclonedx.document(WHOLE, CREATED)
    found = {component["name"]: component for component in document["components"]}
    assert found["openssl"]["licenses"] == [{"expression": "(GPL-2.0-only OR MIT) AND Zlib"}]
    assert found["linux-image"]["licenses"] == [{"license": {"name": "GPL-2 with x"}}]
    assert found["linux-image"]["copyright"] == KERNEL.copyright
    assert found["busybox"]["pedigree"]["ancestors"][0]["name"] == "busybox-src"
    depends = {entry["ref"]: entry["dependsOn"] for entry in document["dependencies"]}
    (base,) = [ref for ref in depends if ref.startswith("base.")]
    assert depends[base] == ["pkg:deb/debian/libstdc%2B%2B6@1:1%2Bb1?arch=amd64&distro=bookworm"]
    assert document["metadata"]["component"]["type"] == "operating-system"


@pytest.mark.parametrize(("make", "key"), [(spdx.document, "documentNamespace"), (cyclonedx.document, "serialNumber")])
def test_identifier_follows_the_content_alone(make: Any, key: str) -> None:
    assert make(WHOLE, CREATED) == make(WHOLE, CREATED)
    others = [make(LAYERS[0], CREATED), make(WHOLE, "2024-06-04T00:00:00Z"), make(image("x", DIGEST, LAYERS), CREATED)]
    assert len({document[key] for document in (make(WHOLE, CREATED), *others)}) == 4
