"""From a registry to the store: what it lacks of an image, each part checked, then the manifest.

A blob that is being fetched lies in STORE/partial/; a pull that was stopped
goes on where it was. Nothing comes into the store that is not what its digest
says.
"""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from imagebuilder import digest
from imagebuilder.errors import RegistryError
from imagebuilder.events import Report, StepFinished, StepStarted
from imagebuilder.host import clock, files
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import MANIFEST_TYPE, Layer, Manifest, parts_of
from imagebuilder.store.meter import Meter
from imagebuilder.store.referrers import list_referrer
from imagebuilder.store.registry.client import Repository

_PIECE = 1 << 20
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Pull:
    """From where to where."""

    layout: Layout
    repository: Repository
    report: Report


def pull(job: Pull, reference: str) -> tuple[Blob, Manifest]:
    """Have the image of a tag or a digest in the store, without a name, and with what is attached to it.

    Raises RegistryError for what is not there or is not what its digest says,
    ImagebuilderError for what is no image of ours. To be called while the
    store is in use.
    """
    data = _manifest(job, reference)
    manifest = Manifest.from_bytes(data)
    return _keep(job, data), manifest


def fetch(job: Pull, blob: Blob, *, is_manifest: bool) -> bool:
    """Have a single blob in the store; whether the registry has it. Raises RegistryError for a false one."""
    if is_manifest:
        data = job.repository.manifest(blob.digest)
        return data is not None and job.layout.put(data) == blob
    return _fetch_blob(job, Layer("", "", blob))


def _fetch_blob(job: Pull, part: Layer) -> bool:
    """Have a blob in the store; whether the registry has it. Raises RegistryError for a false one."""
    blob, layout = part.blob, job.layout
    partial = layout.root / "partial" / blob.sha256
    with files.locked(partial):
        if layout.has(blob.sha256):
            partial.unlink(missing_ok=True)  # another pull has fetched it meanwhile
            return True
        step, began = part.title or blob.sha256[:12], clock.monotonic()
        job.report(StepStarted(step))
        if not _download(job, blob, partial, Meter(step, blob.size, job.report)):
            partial.unlink()
            return False
        if digest.of_file(partial) != blob.sha256:
            partial.unlink()
            raise RegistryError(f"{job.repository} serves something else as {blob.digest} (`{step}`)")
        layout.adopt(partial)
    job.report(StepFinished(step, clock.monotonic() - began, blob.size))
    return True


def _manifest(job: Pull, reference: str) -> bytes:
    data = job.repository.manifest(reference)
    if data is None:
        raise RegistryError(f"{job.repository} has no `{reference}`", status=404)
    return data


def _keep(job: Pull, data: bytes) -> Blob:
    """Fetch all that a manifest names, then keep it, then what is about it."""
    for part in parts_of(data):
        if not job.layout.has(part.blob.sha256) and not _fetch_blob(job, part):
            raise RegistryError(f"{job.repository} lacks {part.blob.digest} (`{part.title}`), a part of this image")
    manifest = job.layout.put(data)
    for entry in job.repository.referrers(manifest):
        if entry.get("mediaType") == MANIFEST_TYPE:
            about = _keep(job, _manifest(job, entry["digest"]))
            list_referrer(job.layout, about, entry.get("artifactType", ""))
    return manifest


def _download(job: Pull, blob: Blob, partial: Path, meter: Meter) -> bool:
    """Fetch what a partial file lacks, however often the connection breaks; whether the blob is to be had."""
    failures = 0
    while (had := partial.stat().st_size) < blob.size:
        opened = job.repository.open_blob(blob, had)
        if opened is None:
            return False
        with suppress(HTTPError):
            _receive(*opened, partial, meter)
        failures = 0 if partial.stat().st_size > had else failures + 1
        if failures == _ATTEMPTS:
            raise RegistryError(f"{job.repository} breaks off {blob.digest} after {had} of {blob.size} bytes")
        clock.sleep(failures)
    return True


def _receive(stream: BaseHTTPResponse, begin: int, partial: Path, meter: Meter) -> None:
    with partial.open("r+b") as file, closing(stream):
        file.truncate(begin)
        file.seek(begin)
        for piece in stream.stream(_PIECE):
            file.write(piece)
            meter.show(file.tell())
            if file.tell() > meter.size:
                break  # this is something else, and may have no end
