"""Documents about a manifest (lists of packages, signatures): manifests of their own that name it as their subject.

    artifactType   what the documents are
    config         the empty one
    layers         the documents, each with its media type and its file name
    subject        the manifest that they are about

They stand in index.json without a name, as other programs' do.

Source: github.com/opencontainers/image-spec, manifest.md (`subject`) and distribution-spec (referrers).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagebuilder import digest
from imagebuilder.store.index import Index, change_index, read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import EMPTY, MANIFEST_TYPE, Layer, blob_of, descriptor, layers_of, manifest_bytes

PACKAGES = "application/vnd.on-imagebuilder.packages.v1+json"
"""The type of what lists the packages of a manifest's layers, a file each (sbom/packages.py)."""


@dataclass(frozen=True, slots=True)
class Referrer:
    """Documents of one type; `manifest` is the blob that lists them."""

    artifact_type: str
    manifest: Blob
    files: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is said of the manifest `subject`: documents of one type, whose blobs are in the store."""

    subject: Blob
    artifact_type: str
    files: Sequence[Layer]

    def to_bytes(self) -> bytes:
        """The manifest that says so."""
        return manifest_bytes(self.artifact_type, self.files, subject=self.subject)

    def is_in(self, index: Index) -> bool:
        """Whether it has been attached; needs no look at what else has."""
        own = f"sha256:{digest.of_bytes(self.to_bytes())}"
        return any(entry.get("digest") == own for entry in index.foreign)


def attach(layout: Layout, subject: Blob, artifact_type: str, files: Sequence[Layer]) -> Blob:
    """Say that `files`, whose blobs are in the store, are about the manifest `subject`; returns their manifest.

    To be called while the store is in use (`Layout.used`). The same files twice are there once.
    """
    return attach_all(layout, [Attachment(subject, artifact_type, files)])[0]


def attach_all(layout: Layout, attachments: Sequence[Attachment]) -> list[Blob]:
    """`attach` for several at once, which others see all or none of; returns their manifests."""
    if not attachments:
        return []
    layout.put(EMPTY)
    made = [(layout.put(attachment.to_bytes()), attachment.artifact_type) for attachment in attachments]
    _list(layout, made)
    return [manifest for manifest, _ in made]


def list_referrer(layout: Layout, manifest: Blob, artifact_type: str) -> None:
    """Have a manifest of the store, which is about another one, in the index; once."""
    _list(layout, [(manifest, artifact_type)])


def _list(layout: Layout, made: Iterable[tuple[Blob, str]]) -> None:
    entries = [{**descriptor(MANIFEST_TYPE, manifest), "artifactType": kind} for manifest, kind in made]
    change_index(layout, lambda index: index.with_foreign(*entries))


def referrers(layout: Layout, subject: Blob) -> tuple[Referrer, ...]:
    """All that is attached to a manifest, whoever did it, in the order in which it came."""
    return tuple(referrer for about, referrer in all_referrers(layout, read_index(layout)) if about == subject)


def all_referrers(layout: Layout, index: Index) -> Iterator[tuple[Blob, Referrer]]:
    """Every manifest of the index that is about another one, after the one that it is about.

    Raises ImagebuilderError for a damaged one.
    """
    for entry, manifest in index.foreign_blobs():
        if about := referrer_of(layout, entry, manifest):
            yield about


def referrer_of(layout: Layout, entry: Mapping[str, Any], manifest: Blob) -> tuple[Blob, Referrer] | None:
    """An entry of the index as a referrer, after the manifest that it is about; None when it is about none.

    Raises ImagebuilderError for a damaged one.
    """
    if entry.get("mediaType") != MANIFEST_TYPE:
        return None
    value: dict[str, Any] = json.loads(layout.read(manifest.sha256))
    subject = value.get("subject")
    return (blob_of(subject), Referrer(value.get("artifactType", ""), manifest, layers_of(value))) if subject else None
