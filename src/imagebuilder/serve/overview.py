"""A node in a line, as the page shows it and /api/1/ gives it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagebuilder.serve.catalog import Catalog
from imagebuilder.serve.nodes import Nodes
from imagebuilder.serve.state.boots import BOOTING, SCRIPT, how_far
from imagebuilder.serve.state.overview import Glance, LastBoot
from imagebuilder.store.manifest import INITRD, KERNEL

DISCOVERED = "discovered"
UNDER_WAY = (DISCOVERED, SCRIPT, BOOTING)
"""In these, bytes that go to a node's address are of its boot."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes of an image that a node has, of how many; 0 of 0 when nobody knows."""

    bytes: int
    total: int


def state_of(boot: LastBoot | None) -> str:
    """A word: `discovered` until it reports of its first boot, `script`, `booting`, `started`, `ready`, `failed`."""
    state = how_far(boot.phase, boot.code) if boot else DISCOVERED
    return DISCOVERED if state == SCRIPT and boot and boot.number == 1 else state


def progress_of(boot: LastBoot | None, catalog: Catalog, arrived: Mapping[str, int]) -> Progress:
    """What has come of a boot's image: as its record says, or, where that is more, as the kernel has counted."""
    manifest = catalog.images.get(boot.manifest.removeprefix("sha256:")) if boot else None
    if boot is None or manifest is None:
        return Progress(0, 0)
    begun = boot.phase != SCRIPT
    loaded = sum(
        layer.blob.size if begun else min(layer.blob.size, arrived.get(layer.blob.sha256, 0))
        for layer in manifest.layers
        if layer.media_type in (KERNEL, INITRD)
    )
    root = [layer.blob for layer in manifest.layers if layer.media_type not in (KERNEL, INITRD)]
    fetched = sum(min(blob.size, arrived.get(blob.sha256, 0)) for blob in root)
    total = sum(layer.blob.size for layer in manifest.layers)
    return Progress(min(total, loaded + max(fetched, boot.bytes)), total)


def node_row(glance: Glance, nodes: Nodes, progress: Progress) -> dict[str, Any]:
    """What JSON says of a node; times are since 1970, `ms` since its kernel started."""
    identity, boot, entry = glance.identity, glance.boot, nodes.entry_of(glance.identity)
    row = {
        "id": glance.id,
        "name": (entry and entry.name) or "",
        "node": str(identity),
        "vendor": identity.vendor,
        "model": identity.model,
        "serial": identity.serial,
        "address": glance.address,
        "seen": glance.last_seen,
        "profile": (entry.profile if entry else nodes.default) or "",
        "state": state_of(boot),
    }
    if boot:
        row |= {
            "boot": boot.number,
            "image": boot.image,
            "manifest": boot.manifest,
            "started": boot.started,
            "changed": boot.changed,
            "phase": boot.phase,
            "code": boot.code,
            "ms": boot.ms,
            "bytes": progress.bytes,
            "total": progress.total,
        }
    return row
