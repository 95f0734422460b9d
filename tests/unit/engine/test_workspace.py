"""Where the outputs of steps go."""

from __future__ import annotations

from pathlib import Path

from imagebuilder.engine.workspace import Workspace
from imagebuilder.plan.model import Builder
from imagebuilder.steps.base import Source
from imagebuilder.steps.squashfs import Squashfs
from imagebuilder.steps.unsquash import Unsquash


def test_folders_and_files_have_places_of_their_own_named_by_step(tmp_path: Path) -> None:
    builder = Builder()
    builder.add("file", Squashfs(1))
    builder.add("folder", Unsquash(Source(Path("/x"), "abc")))
    file, folder = builder.plan().steps
    place = Workspace(tmp_path)
    assert place.output(file) == tmp_path / "files" / file.id[:16]
    assert place.output(folder) == place.found(folder.id, folder=True) == tmp_path / "layers" / folder.id[:16]
    assert place.scratch(file) != place.scratch(folder)


def test_many_layers_fit_the_page_that_the_kernel_takes_as_mount_options() -> None:
    place = Workspace(Path("/run/on-imagebuilder/overlay"))
    layer = str(place.found("0" * 64, folder=True))
    assert len(":".join([layer] * 64)) < 4000
