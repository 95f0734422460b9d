"""Which overlays a build keeps on a base that they were not made on, and what is to be said of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from imagebuilder.engine.cache import Cache
from imagebuilder.events import Note, OverlayKept, Report
from imagebuilder.plan.keeping import Past, keep_overlays
from imagebuilder.plan.model import Plan
from imagebuilder.steps.fit import Fit
from imagebuilder.steps.footing import Footing
from imagebuilder.steps.unpack import Unpacked
from imagebuilder.store.actions import Actions
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import Layer, Manifest
from imagebuilder.store.record import Record
from imagebuilder.store.referrers import Attachment, all_referrers, attach_all

FOOTING = "application/vnd.on-imagebuilder.footing.v1+json"
"""The type of a document about a manifest: one file an overlay, by its title (`steps.footing`)."""

_SHOWN = 3


def with_kept_overlays(plan: Plan, tree: Path, cache: Cache, report: Report | None = None) -> Plan:
    """The plan with overlays kept that only their base has changed under, as far as they are not known to conflict.

    Those that do are reported; they are made again.
    """

    def recall(name: str) -> tuple[str, Record] | None:
        step_id = cache.latest(tree, name)
        record = cache.recall(step_id) if step_id else None
        return (step_id, record) if step_id and record else None

    past = Past(lambda step: cache.find(step) is not None, recall)
    without: set[str] = set()
    while True:
        kept = keep_overlays(plan, past, without)
        fits = fits_of(kept, cache)
        conflicting = {image: _conflicts(fit) for image, fit in fits.items() if fit.conflicts or fit.accounts}
        if not conflicting:
            return kept
        without |= conflicting.keys()
        for image, found in conflicting.items():
            if report:
                report(Note(image, f"is made again for the base of now: {found}"))


def fits_of(plan: Plan, cache: Cache) -> dict[str, Fit]:
    """By image how each kept overlay fits, as far as it was checked."""
    records = {check.image: cache.actions.find(check.step) for check in plan.checks}
    return {image: Fit.from_json(cache.layout.read(record.sha256)) for image, record in records.items() if record}


def report_kept(plan: Plan, cache: Cache, report: Report) -> None:
    """Tell of each kept overlay how it fits."""
    for image, fit in fits_of(plan, cache).items():
        shadows, databases = (tuple(f.name for f in found) for found in (fit.shadows, fit.databases))
        report(OverlayKept(image, fit.verdict, shadows, databases))


def attach_footings(layout: Layout, manifests: Mapping[str, Blob], footings: Mapping[str, Blob]) -> None:
    """Attach to each manifest what its overlays stand on; `footings` is by the title of the layer."""
    overlays = {
        blob: Manifest.from_bytes(layout.read(blob.sha256)).overlays for blob in dict.fromkeys(manifests.values())
    }
    made = [
        Attachment(blob, FOOTING, [Layer(FOOTING, layer.title, footings[layer.title]) for layer in layers])
        for blob, layers in overlays.items()
        if layers
    ]
    index = read_index(layout)
    attach_all(layout, [attachment for attachment in made if not attachment.is_in(index)])


def footing_of(layout: Layout, sha256: str, found: Unpacked) -> Footing | None:
    """What the overlay of this digest, which holds `found`, stands on.

    The store knows it of one that was built here, or came with an image; one that came out the same on several bases
    stands on that of the last build. One that was made by hand says it itself.
    """
    for known in reversed(list(_footings(layout, sha256))):
        if footing := _read(layout.read(known)):
            return footing
    own = _read(found.footing)
    return replace(own, changes=found.changes) if own else None


def _read(text: bytes) -> Footing | None:
    try:
        return Footing.from_json(text)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _footings(layout: Layout, sha256: str) -> Iterator[str]:
    """The digests of all footings of an overlay: those of steps, then those of images, in the order of builds."""
    records = [record for _, record in Actions(layout).all()]
    uppers = [record.inputs.get("upper") for record in records if record.sha256 == sha256]
    for record in records:
        if record.step.get("kind") == "footing" and record.inputs.get("upper") in uppers:
            yield record.sha256
    for about, referrer in all_referrers(layout, read_index(layout)):
        if referrer.artifact_type == FOOTING:
            layers = Manifest.from_bytes(layout.read(about.sha256)).layers
            titles = [layer.title for layer in layers if layer.blob.sha256 == sha256]
            yield from (file.blob.sha256 for file in referrer.files if file.title in titles)


def _conflicts(fit: Fit) -> str:
    found = [f"package {finding.name} {finding.text}" for finding in fit.conflicts]
    found += [f"{finding.name} {finding.text}" for finding in fit.accounts]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    return "; ".join([*found[:_SHOWN], *more])
