"""The artifact folder: a view of the store under the names of 2015, and SHA256SUMS of all of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from imagebuilder import digest
from imagebuilder.events import ArtifactPublished, Report
from imagebuilder.host.files import link, locked, publish_text, sweep
from imagebuilder.plan.model import Artifact
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.signing import SUFFIX

SUMS = "SHA256SUMS"


def show_artifacts(blobs: Mapping[Artifact, Blob], layout: Layout, folder: Path, report: Report) -> None:
    """Show each artifact in `folder`, whole or not at all, and bring its SHA256SUMS up to date.

    Whenever this is killed, what SHA256SUMS lists is what the files hold: one
    that is about to change is taken off the list first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock"):
        sweep(folder)
        old = read_sums(folder)
        new = {artifact.name: blob.sha256 for artifact, blob in blobs.items()}
        changed = {name for name, hex in new.items() if not _is_shown(layout, folder / name, hex)}
        _write_sums(folder, {name: hex for name, hex in old.items() if name not in changed})
        for artifact, blob in blobs.items():
            if artifact.name in changed:
                link(layout.path(blob.sha256), folder / artifact.name)
            report(ArtifactPublished(artifact.image, artifact.name, blob.size, blob.sha256))
        _write_sums(folder, {**old, **new})


def _is_shown(layout: Layout, target: Path, sha256: str) -> bool:
    """Whether the file is this blob: the very same, or one of equal content."""
    try:
        return os.path.samefile(target, layout.path(sha256)) or digest.of_file(target) == sha256
    except FileNotFoundError:
        return False


def _write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the list, without what is not in the folder, unless it says so already."""
    present = {name: hex for name, hex in sorted(sums.items()) if (folder / name).is_file()}
    if present != read_sums(folder) or not (folder / SUMS).exists():
        (folder / f"{SUMS}{SUFFIX}").unlink(missing_ok=True)  # the signature of another list
        publish_text("".join(f"{hex}  {name}\n" for name, hex in present.items()), folder / SUMS)


def read_sums(folder: Path) -> dict[str, str]:
    """The folder's SHA256SUMS: hex digest by file name (the format of sha256sum(1))."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    pairs = (line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines() if "  " in line)
    return {name: hex for hex, name in pairs}
