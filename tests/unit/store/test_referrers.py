"""Documents are attached to a manifest and found again, whoever attached them."""

from __future__ import annotations

import json

from imagebuilder.store.index import change_index, read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import BASE, MANIFEST_TYPE, Layer, Manifest, descriptor
from imagebuilder.store.referrers import attach, referrers

SPDX, CYCLONE = "application/spdx+json", "application/vnd.cyclonedx+json"


def _document(layout: Layout, media_type: str, text: str) -> Layer:
    return Layer(media_type, f"base.{text}.json", layout.put(text.encode()))


def test_what_is_attached_is_found_by_what_it_is_about(layout: Layout) -> None:
    subject = layout.put(Manifest((), "then").to_bytes())
    spdx, cyclone = _document(layout, SPDX, "s"), _document(layout, CYCLONE, "c")
    first = attach(layout, subject, SPDX, [spdx])
    second = attach(layout, subject, CYCLONE, [cyclone, spdx])
    other = layout.put(Manifest((Layer(BASE, "base", spdx.blob),), "then").to_bytes())
    assert [(r.artifact_type, r.manifest, r.files) for r in referrers(layout, subject)] == [
        (SPDX, first, (spdx,)),
        (CYCLONE, second, (cyclone, spdx)),
    ]
    assert referrers(layout, other) == ()


def test_same_documents_are_attached_once(layout: Layout) -> None:
    subject = layout.put(Manifest((), "then").to_bytes())
    for _ in range(2):
        attach(layout, subject, SPDX, [_document(layout, SPDX, "s")])
    assert len(read_index(layout).foreign) == 1


def test_names_move_without_the_documents_and_past_them(layout: Layout) -> None:
    subject = layout.put(Manifest((), "then").to_bytes())
    attach(layout, subject, SPDX, [_document(layout, SPDX, "s")])
    change_index(layout, lambda index: index.moved("a:latest", subject))
    change_index(layout, lambda index: index.without("a:latest"))
    assert len(referrers(layout, subject)) == 1


def test_referrer_of_another_program_needs_no_file_names(layout: Layout) -> None:
    subject, content = layout.put(Manifest((), "then").to_bytes()), layout.put(b"a signature")
    value = {"schemaVersion": 2, "subject": descriptor(MANIFEST_TYPE, subject), "layers": [descriptor("a/b", content)]}
    manifest = layout.put(json.dumps(value).encode())
    change_index(layout, lambda index: index.with_foreign(descriptor(MANIFEST_TYPE, manifest)))
    (found,) = referrers(layout, subject)
    assert (found.artifact_type, found.files) == ("", (Layer("a/b", "", content),))
