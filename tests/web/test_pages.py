"""The pages in a real browser: they need nothing from elsewhere, texts fit, and there is a dark and a light one."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from imagebuilder.engine import profile
from imagebuilder.engine.inspection import Weights
from imagebuilder.engine.parts import Part
from imagebuilder.engine.profile import Profile, StepProfile
from imagebuilder.engine.sizes import LayerSize
from imagebuilder.pages.plan import plan_page
from imagebuilder.pages.size import size_page
from imagebuilder.pages.timeline import timeline_page
from imagebuilder.plan.explain import explain
from imagebuilder.plan.history import History, Past
from imagebuilder.plan.model import Artifact, Builder
from imagebuilder.steps.squashfs import Squashfs
from imagebuilder.store.record import Record

pytestmark = pytest.mark.web

CHROMIUM = (
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1200,800"),
)
FITS = Path(__file__).with_name("fits.js").read_text()
WIDE = "MWMW: <provision> & " + "W" * 20


def _plan() -> str:
    """A base with a dozen overlays, one with a name that is wide; some steps were done before."""
    builder = Builder()
    base = builder.add("base: bootstrap", Squashfs(0))
    python = builder.add("python for Ansible", Squashfs(1))
    for number, name in enumerate([WIDE, *(f"overlay{n}: provision" for n in range(12))]):
        upper = builder.add(name, Squashfs(2 + number), lower=(base, python))
        packed = builder.add(f"{number}: pack", Squashfs(99), upper=(upper,), lower=(base,))
        builder.yields(Artifact(packed, packed, packed, "a/type", packed))
    plan = builder.plan()
    record = Record("", {"epoch": 1}, {}, "", 123_456_789, 1234.5)
    kept = {step.id: record for step in plan.steps[:3]}
    history = History(kept, {step.name: Past("x", record) for step in plan.steps})
    return plan_page(explain(plan, history, 2), "Plan of <images>", "much to do")


def _timeline() -> str:
    parts = tuple(
        profile.Part(*part) for part in (("files", 2, 0.0), ("ansible", 2, 8.0), ("ansible: r : Install <x>", 3, 6.5))
    )
    steps = (
        StepProfile("kernel: unpack", "kept", 0, 0, 406_000_000),
        StepProfile(WIDE, "done", 0, 2, 10),
        StepProfile("x: provision", "failed", 2, 10, 0, parts),
    )
    return timeline_page(Profile(steps), "Profile of a build")


def _size() -> str:
    """A kernel, a base with many packages, large and tiny, and an overlay with names that are wide."""
    many = {f"<x> package-{number}": 40_000_000 // number**2 for number in range(1, 120)}
    wide = {WIDE: 9_000_000, WIDE * 5: 800_000, "W": 20_000, "/": 300}
    layers = (
        LayerSize(_part("vmlinuz"), 8_000_000, None),
        LayerSize(_part("base"), 40_000_000, Weights(sum(many.values()), many, {"/usr/lib": sum(many.values())})),
        LayerSize(_part(WIDE * 3), 4_000_000, Weights(sum(wide.values()), wide, wide)),
        LayerSize(_part("empty"), 100, Weights(0, {}, {})),
    )
    return size_page(layers, "Size of <images>")


def _part(title: str) -> Part:
    return Part("", title, "ab" * 32, None, Path(title))


PAGES = {"plan": _plan(), "timeline": _timeline(), "size": _size()}
TEXTS = {"plan": 2 * (2 + 2 * 13), "timeline": 2, "size": _size().count("<text")}


def _browse(folder: Path, page: str, *options: str) -> str:
    """Open a page; returns what Chromium prints."""
    path = folder / "page.html"
    path.write_text(page)
    argv = [*CHROMIUM, f"--user-data-dir={folder / 'user'}", *options, path.as_uri()]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120).stdout


def _first_pixel(png: Path) -> tuple[int, ...]:
    """Red, green and blue of the upper left corner: bytes 1 to 3 of the first scan line, whatever its filter."""
    data, place, packed = png.read_bytes(), 8, b""
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        packed += data[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += 12 + length
    return tuple(zlib.decompress(packed)[1:4])


@pytest.mark.parametrize("name", PAGES)
def test_page_needs_nothing_from_elsewhere_and_no_script(name: str) -> None:
    page = PAGES[name]
    assert not re.findall(r"<(?:script|link|img|iframe|object)|https?:|@import|url\((?!#)|\son\w+=", page)
    assert "<images>" not in page
    assert "<x>" not in page


@pytest.mark.parametrize("name", PAGES)
def test_texts_fit_where_they_stand(name: str, tmp_path: Path) -> None:
    shown = _browse(tmp_path, PAGES[name].replace("</body>", f"<script>{FITS}</script></body>"), "--dump-dom")
    found = re.search(r'data-fits="([^"]*)"', shown)
    assert found
    assert json.loads(found[1].replace("&quot;", '"')) == {"texts": TEXTS[name], "too wide": []}


def test_map_of_sizes_names_what_is_large_and_fits_a_window() -> None:
    page = PAGES["size"]
    width = re.search(r'<svg width="(\d+)"', page)
    assert width
    assert int(width[1]) <= 1200 - 2 * (32 + 17) - 15  # the window, without margins, frame and scroll bar
    assert page.count("&lt;x&gt; package-1</text>") == 1
    assert re.search(r"<title>\d+ more: ", page)


def test_page_is_dark_for_who_wants_it_dark(tmp_path: Path) -> None:
    pixels = []
    for number, options in enumerate(((), ("--force-dark-mode",))):
        picture = tmp_path / f"{number}.png"
        _browse(tmp_path, PAGES["plan"], f"--screenshot={picture}", *options)
        pixels.append(_first_pixel(picture))
    light, dark = pixels
    assert min(light) > 200
    assert max(dark) < 60
