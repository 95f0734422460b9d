"""Manifests of what a build made, under the name `IMAGE:latest` in the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from imagebuilder.plan.model import Artifact, Plan
from imagebuilder.store.index import LATEST, Index, change_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import EMPTY, Layer, Manifest

Notes = tuple[tuple[str, str], ...]


def put_manifests(
    plan: Plan, blobs: Mapping[Artifact, Blob], notes: Mapping[Artifact, Notes], layout: Layout
) -> dict[str, Blob]:
    """Put the manifest of each of the plan's bootables into the store; returns them by name.

    `notes` are what nodes have to know of an artifact. All names move at once, and only those whose manifest is
    another one.
    """
    created = datetime.fromtimestamp(plan.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    layout.put(EMPTY)
    made = {
        f"{bootable.name}:{LATEST}": layout.put(
            Manifest(
                tuple(Layer(a.media_type, a.name, blobs[a], notes.get(a, ())) for a in bootable.artifacts),
                created,
                bootable.node_layer,
            ).to_bytes()
        )
        for bootable in plan.bootables
    }

    def moved(index: Index) -> Index:
        for name, blob in made.items():
            index = index.moved(name, blob)
        return index

    change_index(layout, moved)
    return made
