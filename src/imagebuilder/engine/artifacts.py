"""The artifact folder: finished files under their names, and SHA256SUMS of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imagebuilder import digest
from imagebuilder.events import ArtifactPublished, Report
from imagebuilder.host.files import locked, publish, publish_text, sweep
from imagebuilder.plan.model import Artifact

SUMS = "SHA256SUMS"


def publish_artifacts(
    artifacts: tuple[Artifact, ...], outputs: Mapping[str, Path], folder: Path, report: Report
) -> None:
    """Put each artifact into `folder`, whole or not at all, and bring its SHA256SUMS up to date.

    Whenever this is killed, what SHA256SUMS lists is what the files hold: one
    that is about to change is taken off the list first.
    """
    found = {artifact: _found(artifact, outputs) for artifact in artifacts}
    new = {artifact.name: digest.of_file(source) for artifact, source in found.items()}
    with locked(folder / ".lock"):
        sweep(folder)
        old = read_sums(folder)
        _write_sums(folder, {name: hex for name, hex in old.items() if new.get(name, hex) == hex})
        for artifact, source in found.items():
            publish(source, folder / artifact.name)
            report(ArtifactPublished(artifact.image, artifact.name, source.stat().st_size, new[artifact.name]))
        _write_sums(folder, {**old, **new})


def _found(artifact: Artifact, outputs: Mapping[str, Path]) -> Path:
    output = outputs[artifact.step]
    return output / artifact.member if artifact.member else output


def _write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    present = sorted((name, hex) for name, hex in sums.items() if (folder / name).is_file())
    publish_text("".join(f"{hex}  {name}\n" for name, hex in present), folder / SUMS)


def read_sums(folder: Path) -> dict[str, str]:
    """The folder's SHA256SUMS: hex digest by file name (the format of sha256sum(1))."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    pairs = (line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines() if "  " in line)
    return {name: hex for hex, name in pairs}
