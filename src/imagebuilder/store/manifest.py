"""A manifest: kernel, initrd, base and overlays that boot together, as an OCI image manifest.

    artifactType   application/vnd.on-imagebuilder.image.v1
    config         the empty one
    layers         kernel, initrd, base, then the overlays from the bottom to the top

Each layer's media type says what it is, its `org.opencontainers.image.title`
is its file name of 2015; further annotations are what nodes have to know of it
(steps/contents.py). The same parts give the same bytes.

Source: github.com/opencontainers/image-spec, manifest.md (guidelines for artifact usage).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from imagebuilder.errors import ImagebuilderError
from imagebuilder.store.layout import Blob

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.on-imagebuilder.image.v1"
_PREFIX = "application/vnd.on-imagebuilder."
KERNEL, INITRD, BASE = (f"{_PREFIX}{name}" for name in ("kernel.v1", "initrd.v1", "base.v1.squashfs"))
OVERLAYS = {
    "cpio.gz": f"{_PREFIX}overlay.v1.cpio+gzip",
    "cpio.zst": f"{_PREFIX}overlay.v1.cpio+zstd",
    "squashfs": f"{_PREFIX}overlay.v1.squashfs",
}
"""By the format of an overlay its media type."""

EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
_CREATED = "org.opencontainers.image.created"
_NODE_LAYER = f"{_PREFIX.removeprefix('application/')}node-layer"
# Titles become names in an artifact folder, whoever wrote the manifest.
_FILE_NAME = re.compile(r"[^./\x00-\x1f][^/\x00-\x1f]*")


@dataclass(frozen=True, slots=True)
class Layer:
    """One part: what it is, the name that its file has in an artifact folder, its content, more annotations."""

    media_type: str
    title: str
    blob: Blob
    notes: tuple[tuple[str, str], ...] = ()

    @property
    def kind(self) -> str:
        """What it is, in a word: `kernel`, `initrd`, `base`, `overlay`; else its media type."""
        is_ours = self.media_type.startswith(_PREFIX)
        return self.media_type.removeprefix(_PREFIX).partition(".")[0] if is_ours else self.media_type


@dataclass(frozen=True, slots=True)
class Manifest:
    """What boots together; `created` is the time that all parts carry, as RFC 3339 writes it.

    `node_layer` says whether a node may stack a layer of its own on these, which this manifest does not name.
    """

    layers: tuple[Layer, ...]
    created: str
    node_layer: bool = False

    def of_type(self, media_type: str) -> Layer:
        """The only layer of a type. Raises ImagebuilderError when there is none."""
        for layer in self.layers:
            if layer.media_type == media_type:
                return layer
        raise ImagebuilderError(f"the manifest has no layer of the type {media_type}")

    @property
    def overlays(self) -> tuple[Layer, ...]:
        """The overlays, bottom first."""
        return tuple(layer for layer in self.layers if layer.media_type in OVERLAYS.values())

    def to_bytes(self) -> bytes:
        """The OCI image manifest."""
        accepted = {_NODE_LAYER: "true"} if self.node_layer else {}
        return manifest_bytes(ARTIFACT_TYPE, self.layers, {_CREATED: self.created, **accepted})

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read one. Raises ImagebuilderError for what is no manifest of ours."""
        try:
            value = json.loads(data)
            if value.get("artifactType") != ARTIFACT_TYPE:
                raise ImagebuilderError(f"this manifest is of the type {value.get('artifactType')}, no image of ours")
            layers = layers_of(value)
            if strange := [layer.title for layer in layers if not _FILE_NAME.fullmatch(layer.title)]:
                raise ImagebuilderError(f"this manifest has a layer with a title that is no file name: `{strange[0]}`")
            notes = value["annotations"]
            return cls(layers, notes[_CREATED], notes.get(_NODE_LAYER) == "true")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImagebuilderError(f"this is no OCI image manifest: {error!r}") from None


def manifest_bytes(
    artifact_type: str,
    layers: Iterable[Layer],
    annotations: Mapping[str, str] | None = None,
    subject: Blob | None = None,
) -> bytes:
    """An OCI image manifest of an artifact; `subject` is the manifest that it is about."""
    value = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": artifact_type,
        "config": descriptor(EMPTY_TYPE, empty_blob()),
        "layers": [
            {**descriptor(layer.media_type, layer.blob), "annotations": {TITLE: layer.title, **dict(layer.notes)}}
            for layer in layers
        ],
        **({"subject": descriptor(MANIFEST_TYPE, subject)} if subject else {}),
        **({"annotations": dict(annotations)} if annotations else {}),
    }
    return json.dumps(value, indent=2).encode()


def parts_of(data: bytes) -> tuple[Layer, ...]:
    """The config and the layers of any image manifest. Raises ImagebuilderError for what is none."""
    try:
        value = json.loads(data)
        config = value["config"]
        return (Layer(config["mediaType"], "", blob_of(config)), *layers_of(value))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImagebuilderError(f"this is no OCI image manifest: {error!r}") from None


def layers_of(value: Mapping[str, Any]) -> tuple[Layer, ...]:
    """The layers of any image manifest; one without a title has "".

    Raises KeyError, TypeError or ValueError for what is no manifest.
    """
    return tuple(_layer(layer, layer.get("annotations", {})) for layer in value["layers"])


def _layer(value: dict[str, Any], annotations: Mapping[str, str]) -> Layer:
    notes = tuple((key, note) for key, note in annotations.items() if key != TITLE)
    return Layer(value["mediaType"], annotations.get(TITLE, ""), blob_of(value), notes)


def empty_blob() -> Blob:
    """The content of the empty config, `{}`."""
    return Blob("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", len(EMPTY))


def descriptor(media_type: str, blob: Blob) -> dict[str, Any]:
    """An OCI content descriptor."""
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size}


def blob_of(value: dict[str, Any]) -> Blob:
    """The content that a descriptor names. Raises ValueError for another algorithm than sha256."""
    algorithm, _, hexadecimal = value["digest"].partition(":")
    if algorithm != "sha256" or len(hexadecimal) != 64 or set(hexadecimal) - set("0123456789abcdef"):
        raise ValueError(f"`{value['digest']}` is no sha256 digest")
    return Blob(hexadecimal, int(value["size"]))
