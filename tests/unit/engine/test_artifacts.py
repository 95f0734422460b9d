"""The artifact folder: whole files, and SHA256SUMS that sha256sum itself agrees with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from imagebuilder import digest
from imagebuilder.engine.artifacts import SUMS, read_sums, show_artifacts
from imagebuilder.events import ArtifactPublished, Event, Report
from imagebuilder.plan.model import Artifact
from imagebuilder.store.layout import Layout


def _show(folder: Path, report: Report | None = None, **contents: str) -> list[Event]:
    """Show texts as artifacts."""
    events: list[Event] = []
    layout = Layout(folder / "store")
    layout.prepare()
    blobs = {
        Artifact(f"{name}.img", "an image", name, "a/type", name): layout.put(text.encode())
        for name, text in contents.items()
    }
    show_artifacts(blobs, layout, folder / "builds", report or events.append)
    return events


def _checked(folder: Path) -> list[str]:
    """What `sha256sum --check` finds to be right."""
    argv = ["sha256sum", "--check", "--strict", SUMS]
    done = subprocess.run(argv, cwd=folder / "builds", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_artifacts_are_the_blobs_of_the_store_under_names(tmp_path: Path) -> None:
    events = _show(tmp_path, base="b", x="x")
    assert (tmp_path / "builds/base.img").read_text() == "b"
    assert events == [
        ArtifactPublished("an image", "base.img", 1, digest.of_bytes(b"b")),
        ArtifactPublished("an image", "x.img", 1, digest.of_bytes(b"x")),
    ]
    assert _checked(tmp_path) == ["base.img: OK", "x.img: OK"]


def test_what_is_shown_already_is_left_as_it_is(tmp_path: Path) -> None:
    _show(tmp_path, base="b", x="x")
    before = {path.name: path.stat().st_ino for path in (tmp_path / "builds").iterdir()}
    _show(tmp_path, base="b", x="x")
    assert {path.name: path.stat().st_ino for path in (tmp_path / "builds").iterdir()} == before


def test_file_that_somebody_changed_is_put_right(tmp_path: Path) -> None:
    _show(tmp_path, base="b")
    (tmp_path / "builds/base.img").unlink()
    (tmp_path / "builds/base.img").write_text("something else")
    _show(tmp_path, base="b")
    assert (tmp_path / "builds/base.img").read_text() == "b"


def test_sums_keep_what_other_builds_published(tmp_path: Path) -> None:
    _show(tmp_path, base="b", x="x")
    _show(tmp_path, x="new", y="y")
    assert _checked(tmp_path) == ["base.img: OK", "x.img: OK", "y.img: OK"]
    assert read_sums(tmp_path / "builds")["x.img"] == digest.of_bytes(b"new")


def test_sums_forget_what_somebody_removed(tmp_path: Path) -> None:
    _show(tmp_path, base="b", x="x")
    (tmp_path / "builds/base.img").unlink()
    _show(tmp_path, x="x")
    assert _checked(tmp_path) == ["x.img: OK"]


def test_file_that_is_about_to_change_is_not_listed(tmp_path: Path) -> None:
    _show(tmp_path, x="old", y="y")
    seen: list[dict[str, str]] = []
    _show(tmp_path, lambda _: seen.append(read_sums(tmp_path / "builds")), x="new", z="new")
    assert [set(sums) for sums in seen] == [{"y.img"}, {"y.img"}]
    assert set(read_sums(tmp_path / "builds")) == {"x.img", "y.img", "z.img"}


def test_folder_without_sums_lists_nothing(tmp_path: Path) -> None:
    assert read_sums(tmp_path) == {}
    (tmp_path / SUMS).write_text("# a comment\n\n" + "a" * 64 + "  name with  spaces\n")
    assert read_sums(tmp_path) == {"name with  spaces": "a" * 64}
