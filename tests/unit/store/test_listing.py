"""What a store has, as people read it: sizes, what is shared, the past."""

from __future__ import annotations

import pytest

from imagebuilder.errors import UserError
from imagebuilder.store.layout import Layout
from imagebuilder.store.listing import describe, list_entries
from imagebuilder.store.manifest import Layer
from imagebuilder.store.referrers import attach
from stores import CREATED, SPDX, add_image


def test_entries_say_what_only_they_need(layout: Layout) -> None:
    manifest = add_image(layout, "extra:latest", "overlay")
    add_image(layout, "other:latest", "another")
    first, second = list_entries(layout)
    assert (first.name, first.manifest, first.created) == ("extra:latest", manifest, CREATED)
    assert (first.size, first.own) == (len("kernelinitrdbaseoverlay"), len("overlay"))
    assert (second.name, second.own) == ("other:latest", len("another"))
    assert [part.shared_with for part in first.parts] == [("other:latest",)] * 3 + [()]


def test_two_names_of_one_image_share_all_of_it(layout: Layout) -> None:
    for name in ("extra:latest", "extra:stable"):
        add_image(layout, name, "overlay")
    assert [entry.own for entry in list_entries(layout)] == [0, 0]


def test_details_are_the_past_the_last_first_and_what_is_attached(layout: Layout) -> None:
    manifests = [add_image(layout, "extra:latest", overlay) for overlay in "abc"]
    document = Layer(SPDX, "a.json", layout.put(b"list"))
    attach(layout, manifests[2], SPDX, [document])
    attach(layout, manifests[1], SPDX, [document])
    details = describe(layout, "extra:latest")
    assert details.entry.manifest == manifests[2]
    assert details.past == (manifests[1], manifests[0])
    assert [referrer.files for referrer in details.attached] == [(document,)]


def test_unknown_name_is_the_users_mistake_and_the_known_ones_are_told(layout: Layout) -> None:
    with pytest.raises(UserError, match="has no `x:latest`") as nothing:
        describe(layout, "x:latest")
    assert nothing.value.hint == "it has nothing yet"
    add_image(layout, "extra:latest", "overlay")
    with pytest.raises(UserError) as caught:
        describe(layout, "x:latest")
    assert caught.value.hint == "it has `extra:latest`"
