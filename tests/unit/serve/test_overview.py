"""A node in a line: its state, what has come of its image."""

from __future__ import annotations

import pytest

from imagebuilder.serve.catalog import Catalog
from imagebuilder.serve.overview import Progress, progress_of, state_of
from imagebuilder.serve.state.overview import LastBoot
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import BASE, INITRD, KERNEL, Layer, Manifest

MANIFEST = "0" * 64
SIZES = {KERNEL: 10, INITRD: 20, BASE: 100}
CATALOG = Catalog(images={MANIFEST: Manifest(tuple(Layer(kind, kind, Blob(kind, SIZES[kind])) for kind in SIZES), "")})


def boot(phase: str, fetched: int = 0, number: int = 2, code: str = "") -> LastBoot:
    return LastBoot(number, "all", "x:latest", f"sha256:{MANIFEST}", 1, 2, phase, code, 3, fetched)


@pytest.mark.parametrize(
    ("last", "state"),
    [
        (None, "discovered"),
        (boot("script", number=1), "discovered"),
        (boot("script"), "script"),
        (boot("fetch"), "booting"),
        (boot("switch"), "started"),
        (boot("agent"), "ready"),
        (boot("error", code="NB-DHCP"), "failed"),
    ],
)
def test_state_is_one_word(last: LastBoot | None, state: str) -> None:
    assert state_of(last) == state


@pytest.mark.parametrize(
    ("last", "arrived", "count"),
    [
        (boot("script"), {}, 0),
        (boot("script"), {KERNEL: 10, INITRD: 5}, 15),
        (boot("kernel"), {}, 30),
        (boot("manifest"), {BASE: 40}, 70),
        (boot("fetch", 100), {}, 130),
        (boot("fetch", 500), {BASE: 1000}, 130),
    ],
)
def test_bytes_are_what_is_known_and_never_more_than_there_are(
    last: LastBoot, arrived: dict[str, int], count: int
) -> None:
    assert progress_of(last, CATALOG, arrived) == Progress(count, 130)


def test_bytes_of_an_image_that_is_gone_are_not_known() -> None:
    assert progress_of(boot("fetch"), Catalog(), {}) == progress_of(None, CATALOG, {}) == Progress(0, 0)
