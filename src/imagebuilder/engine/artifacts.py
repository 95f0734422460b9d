"""The artifact folder: finished files under their names, and SHA256SUMS of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from imagebuilder import digest
from imagebuilder.events import ArtifactPublished, Report
from imagebuilder.host.files import locked, publish, publish_text
from imagebuilder.plan.model import Artifact

SUMS = "SHA256SUMS"


def publish_artifacts(
    artifacts: tuple[Artifact, ...], outputs: Mapping[str, Path], folder: Path, report: Report
) -> None:
    """Put each artifact into `folder`, whole or not at all, and bring its SHA256SUMS up to date."""
    with locked(folder / ".lock"):
        sums = read_sums(folder)
        for artifact in artifacts:
            output = outputs[artifact.step]
            source = output / artifact.member if artifact.member else output
            sums[artifact.name] = digest.of_file(source)
            publish(source, folder / artifact.name)
            report(ArtifactPublished(artifact.image, artifact.name, source.stat().st_size, sums[artifact.name]))
        present = sorted((name, hex) for name, hex in sums.items() if (folder / name).is_file())
        publish_text("".join(f"{hex}  {name}\n" for name, hex in present), folder / SUMS)


def read_sums(folder: Path) -> dict[str, str]:
    """The folder's SHA256SUMS: hex digest by file name (the format of sha256sum(1))."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    pairs = (line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines() if "  " in line)
    return {name: hex for hex, name in pairs}
