"""Whether overlays that lie anywhere fit layers that lie anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imagebuilder.engine.keeping import footing_of as kept_footing
from imagebuilder.engine.parts import Part, read_parts
from imagebuilder.engine.unpacked import opened
from imagebuilder.errors import UserError
from imagebuilder.steps.fit import Fit
from imagebuilder.steps.fitting import check
from imagebuilder.steps.footing import footing_of
from imagebuilder.steps.view import View, stacked, view_of
from imagebuilder.store.layout import Layout


def check_overlays(
    layout: Layout, overlays: Sequence[str], below: Sequence[str], made_on: str | None
) -> Iterator[tuple[Part, Fit]]:
    """Check files, or the top layers of images in the store, against what is `below`: files, all root layers of images.

    `made_on` names in the same way what files that the store does not know were
    made on. Raises UserError for what is not there or no layer, and for an overlay of an unknown base.
    """
    ground = merged(tuple(dict.fromkeys(part for given in below for part in root_parts(layout, given))))
    before = merged(root_parts(layout, made_on)) if made_on else None
    for name in overlays:
        part = read_parts(layout, name)[-1]
        with opened(part.file) as found:
            layer = view_of(found.entries, found.changes)
        footing = footing_of((), layer, before) if before else kept_footing(layout, part.sha256, found)
        if footing is None:
            raise UserError(
                f"nobody knows on which base {part.title} was made",
                hint="`--made-on FILE|NAME` says what it was made on",
            )
        yield part, check(footing, layer, ground)


def root_parts(layout: Layout, given: str) -> tuple[Part, ...]:
    """The layers of the root filesystem that a user names, bottom first: those of an image, or one file."""
    parts = read_parts(layout, given)
    return parts if len(parts) == 1 else tuple(part for part in parts if part.is_of_root)


def merged(parts: Sequence[Part]) -> View:
    """What is seen where layers lie on one another."""
    views = []
    for part in parts:
        with opened(part.file) as found:
            views.append(view_of(found.entries, found.changes))
    return stacked(views)
