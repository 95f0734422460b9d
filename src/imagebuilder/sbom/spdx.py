"""SPDX 2.3 as JSON. Source: spdx.github.io/spdx-spec/v2.3."""

from __future__ import annotations

import re
from typing import Any

from imagebuilder import __version__, digest
from imagebuilder.sbom.bill import Artifact, identifier
from imagebuilder.sbom.packages import Package, PackageList

_DOCUMENT = "SPDXRef-DOCUMENT"
_UNKNOWN = "NOASSERTION"


def document(artifact: Artifact, created: str) -> dict[str, Any]:
    """The document about an artifact; `created` is the time that the artifact carries, as RFC 3339 writes it."""
    packages: dict[str, Any] = {}
    relations = [(_DOCUMENT, "DESCRIBES", _name(artifact.title, artifact.sha256))]
    for part in artifact.all():
        here = _name(part.title, part.sha256)
        packages[here] = _artifact(here, part)
        if part is not artifact:
            relations.append((_name(artifact.title, artifact.sha256), "CONTAINS", here))
        for purl, package in part.listed():
            name = _name(package.identity.name, digest.of_bytes(purl.encode()))
            packages.setdefault(name, _package(name, package, part.packages))
            relations.append((here, "CONTAINS", name))
    value = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": artifact.title,
        "creationInfo": {"created": created, "creators": [f"Tool: imagebuilder-{__version__}"]},
        "packages": list(packages.values()),
        "relationships": [
            {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
            for one, kind, other in relations
        ],
    }
    # Not a place on the web: the name under which other documents speak of this one.
    return {**value, "documentNamespace": f"https://spdx.org/spdxdocs/{artifact.title}-{identifier(value)}"}


def _name(text: str, sha256: str) -> str:
    """An SPDXID, of letters, digits, dots and dashes."""
    return f"SPDXRef-{re.sub('[^A-Za-z0-9.]', '-', text)}-{sha256[:12]}"


def _artifact(name: str, artifact: Artifact) -> dict[str, Any]:
    return {
        "SPDXID": name,
        "name": artifact.title,
        "versionInfo": f"sha256:{artifact.sha256}",
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "checksums": _checksums(artifact.sha256),
    }


def _package(name: str, package: Package, listed: PackageList) -> dict[str, Any]:
    value = {
        "SPDXID": name,
        "name": package.identity.name,
        "versionInfo": package.identity.version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "sourceInfo": f"built from the source package {package.source} {package.source_version}",
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": package.licence or _UNKNOWN,
        "copyrightText": package.copyright or _UNKNOWN,
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": listed.purl(package),
            }
        ],
    }
    if package.sha256:
        value["checksums"] = _checksums(package.sha256)
    if package.licences and not package.licence:
        value["licenseComments"] = f"its copyright file names: {', '.join(package.licences)}"
    return value


def _checksums(sha256: str) -> list[dict[str, str]]:
    return [{"algorithm": "SHA256", "checksumValue": sha256}]
