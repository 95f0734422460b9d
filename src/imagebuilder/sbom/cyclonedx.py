"""CycloneDX 1.5 as JSON. Source: cyclonedx.org/docs/1.5/json."""

from __future__ import annotations

from typing import Any

from imagebuilder import __version__
from imagebuilder.sbom.bill import Artifact, identifier
from imagebuilder.sbom.packages import Package, PackageList


def document(artifact: Artifact, created: str) -> dict[str, Any]:
    """The document about an artifact; `created` is the time that the artifact carries, as RFC 3339 writes it."""
    components: dict[str, Any] = {}
    contents: dict[str, list[str]] = {}
    for part in artifact.all():
        here = _reference(part)
        if part is not artifact:
            components[here] = _artifact(part)
        contents[here] = [_reference(inner) for inner in part.parts]
        for purl, package in part.listed():
            components.setdefault(purl, _package(purl, package, part.packages))
            contents[here].append(purl)
    tool = {"type": "application", "name": "imagebuilder", "version": __version__}
    value = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": created, "tools": {"components": [tool]}, "component": _artifact(artifact)},
        "components": list(components.values()),
        "dependencies": [{"ref": reference, "dependsOn": inner} for reference, inner in contents.items()],
    }
    return {**value, "serialNumber": f"urn:uuid:{identifier(value)}"}


def _reference(artifact: Artifact) -> str:
    return f"{artifact.title}@sha256:{artifact.sha256}"


def _artifact(artifact: Artifact) -> dict[str, Any]:
    return {
        "type": "operating-system" if artifact.parts else "file",
        "bom-ref": _reference(artifact),
        "name": artifact.title,
        "version": f"sha256:{artifact.sha256}",
        "hashes": _hashes(artifact.sha256),
    }


def _package(purl: str, package: Package, listed: PackageList) -> dict[str, Any]:
    source = {
        "type": "library",
        "name": package.source,
        "version": package.source_version,
        "purl": listed.source_purl(package),
    }
    value: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": package.identity.name,
        "version": package.identity.version,
        "purl": purl,
        "pedigree": {"ancestors": [source]},
    }
    if package.sha256:
        value["hashes"] = _hashes(package.sha256)
    if package.licence:
        value["licenses"] = [{"expression": package.licence}]
    elif package.licences:
        value["licenses"] = [{"license": {"name": name}} for name in package.licences]
    if package.copyright:
        value["copyright"] = package.copyright
    return value


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]
