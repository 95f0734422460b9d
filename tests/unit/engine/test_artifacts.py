"""The artifact folder: whole files, and SHA256SUMS that sha256sum itself agrees with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from imagebuilder import digest
from imagebuilder.engine.artifacts import SUMS, publish_artifacts, read_sums
from imagebuilder.events import ArtifactPublished, Event
from imagebuilder.plan.model import Artifact


def _publish(folder: Path, **contents: str) -> list[Event]:
    """Publish files, each the output of a step of its own; `name__member` is a file in a step's folder."""
    events: list[Event] = []
    outputs, artifacts = {}, []
    for name, text in contents.items():
        step, _, member = name.partition("__")
        output = folder / "work" / step
        path = output / member if member else output
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        outputs[step] = output
        artifacts.append(Artifact(f"{member or step}.img", "an image", step, member))
    publish_artifacts(tuple(artifacts), outputs, folder / "builds", events.append)
    return events


def _checked(folder: Path) -> list[str]:
    """What `sha256sum --check` finds to be right."""
    argv = ["sha256sum", "--check", "--strict", SUMS]
    done = subprocess.run(argv, cwd=folder / "builds", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_artifacts_are_files_or_members_of_folders(tmp_path: Path) -> None:
    events = _publish(tmp_path, base="b", kernel__vmlinuz="k")
    assert (tmp_path / "builds/base.img").read_text() == "b"
    assert (tmp_path / "builds/vmlinuz.img").read_text() == "k"
    assert events == [
        ArtifactPublished("an image", "base.img", 1, digest.of_bytes(b"b")),
        ArtifactPublished("an image", "vmlinuz.img", 1, digest.of_bytes(b"k")),
    ]
    assert _checked(tmp_path) == ["base.img: OK", "vmlinuz.img: OK"]


def test_sums_keep_what_other_builds_published(tmp_path: Path) -> None:
    _publish(tmp_path, base="b", x="x")
    _publish(tmp_path, x="new", y="y")
    assert _checked(tmp_path) == ["base.img: OK", "x.img: OK", "y.img: OK"]
    assert read_sums(tmp_path / "builds")["x.img"] == digest.of_bytes(b"new")


def test_sums_forget_what_somebody_removed(tmp_path: Path) -> None:
    _publish(tmp_path, base="b", x="x")
    (tmp_path / "builds/base.img").unlink()
    _publish(tmp_path, x="x")
    assert _checked(tmp_path) == ["x.img: OK"]


def test_file_that_is_about_to_change_is_not_listed(tmp_path: Path) -> None:
    _publish(tmp_path, x="old", y="y")
    seen: list[dict[str, str]] = []
    step = tmp_path / "work" / "x"
    step.write_text("new")
    artifacts = (Artifact("x.img", "an image", "x"), Artifact("z.img", "an image", "x"))
    publish_artifacts(
        artifacts, {"x": step}, tmp_path / "builds", lambda _: seen.append(read_sums(tmp_path / "builds"))
    )
    assert [set(sums) for sums in seen] == [{"y.img"}, {"y.img"}]
    assert set(read_sums(tmp_path / "builds")) == {"x.img", "y.img", "z.img"}


def test_folder_without_sums_lists_nothing(tmp_path: Path) -> None:
    assert read_sums(tmp_path) == {}
    (tmp_path / SUMS).write_text("# a comment\n\n" + "a" * 64 + "  name with  spaces\n")
    assert read_sums(tmp_path) == {"name with  spaces": "a" * 64}
