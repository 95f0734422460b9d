"""What differs between two makings of the same layers is named down to the file and the layer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebuilder.engine.layer_difference import PathDifference, differences

CLAMP = 1_700_000_000


def _layers(folder: Path, number: int = 1) -> list[tuple[Path, Path]]:
    """Layers that were made twice, equal ones: a file, a link, a folder."""
    pairs = [(folder / f"first-{i}", folder / f"second-{i}") for i in range(number)]
    for place in (place for pair in pairs for place in pair):
        (place / "etc").mkdir(parents=True)
        (place / "etc/x").write_text("one\ntwo\n")
        (place / "link").symlink_to("etc/x")
        for path in (place / "etc/x", place / "etc"):
            os.utime(path, (CLAMP + 5, CLAMP + 5))
            path.chmod(0o755)
    return pairs


def _found(layers: list[tuple[Path, Path]], clamp: int | None = CLAMP) -> dict[str, PathDifference]:
    return {difference.path: difference for difference in differences(layers, clamp=clamp)}


def _write(text: str | bytes) -> Callable[[Path], object]:
    data = text.encode() if isinstance(text, str) else text
    return lambda place: (place / "etc/x").write_bytes(data)


def _link(place: Path) -> None:
    (place / "link").unlink()
    (place / "link").symlink_to("elsewhere")


def _folder(place: Path) -> None:
    (place / "etc/x").unlink()
    (place / "etc/x").mkdir(0o755)


CHANGES: tuple[tuple[Callable[[Path], object], str, tuple[str, ...]], ...] = (
    (_write("one\n2\n"), "/etc/x", ("size 8, then 6", "content")),
    (_write("one\nTWO\n"), "/etc/x", ("content",)),
    (lambda place: (place / "etc/x").chmod(0o644), "/etc/x", ("mode 0755, then 0644",)),
    (lambda place: os.setxattr(place / "etc/x", "user.a", b"1"), "/etc/x", ("user.a none, then 31",)),
    (lambda place: (place / "etc/x").unlink(), "/etc/x", ("only there the first time",)),
    (lambda place: (place / "new").touch(), "/new", ("only there the second time",)),
    (lambda place: os.utime(place / "etc/x", (1, 1)), "/etc/x", (f"time {CLAMP}, then 1",)),
    (_link, "/link", ("target etc/x, then elsewhere",)),
    (_folder, "/etc/x", ("type file, then folder", f"time {CLAMP}, then {CLAMP}", "size 8, then none")),
)


@pytest.mark.parametrize(("change", "path", "how"), CHANGES)
def test_difference_is_named_with_what_it_is(
    tmp_path: Path, change: Callable[[Path], object], path: str, how: tuple[str, ...]
) -> None:
    layers = _layers(tmp_path)
    change(layers[0][1])
    os.utime(layers[0][1] / "etc", (CLAMP, CLAMP))
    found = _found(layers)
    assert found.keys() == {path}
    assert found[path].how == tuple(way for way in how if way != f"time {CLAMP}, then {CLAMP}")


def test_equal_layers_and_times_beyond_the_latest_are_no_difference(tmp_path: Path) -> None:
    layers = _layers(tmp_path)
    os.utime(layers[0][1] / "etc/x", (CLAMP + 99, CLAMP + 99))
    assert _found(layers) == {}
    os.utime(layers[0][1] / "etc/x", (1, 1))
    assert _found(layers, clamp=None) == {}


def test_texts_are_shown_by_line_and_other_files_by_offset(tmp_path: Path) -> None:
    layers = _layers(tmp_path)
    _write("one\n2\n")(layers[0][1])
    assert _found(layers, clamp=None)["/etc/x"].detail == ("-two", "+2")
    for number, data in enumerate((b"\xff\x00\x01", b"\xff\x00\x02")):
        _write(data)(layers[0][number])
    assert _found(layers, clamp=None)["/etc/x"].detail == ("from byte 2 on",)


def test_lowest_layer_that_differs_is_the_one_that_made_it(tmp_path: Path) -> None:
    layers = _layers(tmp_path, 3)
    for number in (1, 2):
        _write("other\n")(layers[number][1])
    (difference,) = _found(layers, clamp=None).values()
    assert (difference.path, difference.layer) == ("/etc/x", 1)
    assert difference.made_by("x: provision").step == "x: provision"


def test_what_a_higher_layer_replaces_or_hides_does_not_matter(tmp_path: Path) -> None:
    layers = _layers(tmp_path, 2)
    _write("other\n")(layers[0][1])
    (layers[0][1] / "gone").mkdir()
    (layers[0][1] / "gone/file").write_text("random")
    for place in layers[1]:
        (place / "gone").write_text("a file in the folder's place")
    assert _found(layers, clamp=None) == {}
