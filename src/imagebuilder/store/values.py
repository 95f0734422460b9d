"""What is in a store as plain values, for JSON."""

from __future__ import annotations

from typing_extensions import TypedDict

from imagebuilder.store.listing import Details, Entry


class LayerValue(TypedDict):
    """A layer, and the other names that need it."""

    kind: str
    mediaType: str
    title: str
    digest: str
    size: int
    sharedWith: list[str]


class EntryValue(TypedDict):
    """A name, the manifest that it stands for, the bytes of all its layers and of those that no other name needs."""

    name: str
    digest: str
    created: str
    size: int
    own: int
    layers: list[LayerValue]


class FileValue(TypedDict):
    """A document."""

    title: str
    digest: str
    size: int


class AttachedValue(TypedDict):
    """Documents that are attached to a manifest."""

    artifactType: str
    digest: str
    files: list[FileValue]


class DetailsValue(EntryValue):
    """The same with the digests that the name stood for before, the last first, and what is attached."""

    before: list[str]
    attached: list[AttachedValue]


def entry_value(entry: Entry) -> EntryValue:
    """A line of the list."""
    layers: list[LayerValue] = [
        {
            "kind": part.layer.kind,
            "mediaType": part.layer.media_type,
            "title": part.layer.title,
            "digest": part.layer.blob.digest,
            "size": part.layer.blob.size,
            "sharedWith": list(part.shared_with),
        }
        for part in entry.parts
    ]
    return {
        "name": entry.name,
        "digest": entry.manifest.digest,
        "created": entry.created,
        "size": entry.size,
        "own": entry.own,
        "layers": layers,
    }


def details_value(details: Details) -> DetailsValue:
    """All about a name."""
    attached: list[AttachedValue] = [
        {
            "artifactType": referrer.artifact_type,
            "digest": referrer.manifest.digest,
            "files": [{"title": f.title, "digest": f.blob.digest, "size": f.blob.size} for f in referrer.files],
        }
        for referrer in details.attached
    ]
    before = [blob.digest for blob in details.past]
    return {**entry_value(details.entry), "before": before, "attached": attached}
