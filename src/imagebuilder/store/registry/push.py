"""From the store to a registry: what it lacks of an image, then the manifest, then what is attached to it.

A blob goes in pieces. Where the next piece goes is kept in STORE/uploads/, so
that a push which was stopped goes on with the pieces that are still to come,
if the registry kept what it had. (Docker's own, 2.8, does unless it was
stopped in the middle of a piece.)
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imagebuilder import digest
from imagebuilder.console import size_text
from imagebuilder.errors import RegistryError
from imagebuilder.events import Note, Report, StepFinished, StepStarted
from imagebuilder.host import clock
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import MANIFEST_TYPE, Layer, descriptor, parts_of
from imagebuilder.store.meter import Meter
from imagebuilder.store.referrers import referrers
from imagebuilder.store.registry.client import Repository, Upload

_PIECE = 8 << 20
_ATTEMPTS = 3
_FINAL = (401, 403, 405, 413)  # not allowed to, too large: asking again is no use


@dataclass(frozen=True, slots=True)
class Push:
    """From where to where; a blob that the repository `mount_from` of the same registry has is taken from there."""

    layout: Layout
    repository: Repository
    report: Report
    mount_from: str = ""


def push(job: Push, manifest: Blob, tag: str) -> int:
    """Have an image in the repository under `tag`, with what is attached to it; returns the bytes of parts sent.

    Raises RegistryError. To be called while the store is in use.
    """
    sent, _ = _push_manifest(job, manifest, tag)
    return sent


def _push_manifest(job: Push, manifest: Blob, name: str) -> tuple[int, bool]:
    """Returns the bytes sent, and whether the registry lists the manifest with its subject by itself."""
    data = job.layout.read(manifest.sha256)
    sent = _send_missing(job, parts_of(data))
    is_listed = job.repository.put_manifest(data, name)
    for referrer in referrers(job.layout, manifest):
        more, referrer_is_listed = _push_manifest(job, referrer.manifest, referrer.manifest.digest)
        sent += more
        if not referrer_is_listed:
            entry = {**descriptor(MANIFEST_TYPE, referrer.manifest), "artifactType": referrer.artifact_type}
            job.repository.list_referrer(manifest, entry)
    return sent, is_listed


def _send_missing(job: Push, parts: tuple[Layer, ...]) -> int:
    by_blob = {part.blob: part for part in parts}
    missing = [part for blob, part in by_blob.items() if not job.repository.has_blob(blob)]
    there = sum(blob.size for blob in by_blob) - sum(part.blob.size for part in missing)
    if len(missing) < len(by_blob):
        count = f"{len(by_blob) - len(missing)} of {len(by_blob)} parts"
        job.report(Note("", f"{job.repository} has {count} already, {size_text(there)}"))
    return sum(_send(job, part) for part in missing)


def _send(job: Push, part: Layer) -> int:
    """Returns the bytes that were sent."""
    step, began = part.title or part.blob.sha256[:12], clock.monotonic()
    job.report(StepStarted(step))
    attempt = 1
    while True:
        try:
            sent = _upload(job, part.blob, Meter(step, part.blob.size, job.report))
            job.report(StepFinished(step, clock.monotonic() - began, part.blob.size))
            return sent
        except RegistryError as error:
            if attempt == _ATTEMPTS or error.status in _FINAL:
                raise
            job.report(Note(step, f"{error.message}; trying again"))
            clock.sleep(attempt)
            attempt += 1


def _upload(job: Push, blob: Blob, meter: Meter) -> int:
    """Returns the bytes that were sent."""
    with _location_note(job, blob) as note, job.layout.path(blob.sha256).open("rb") as file:
        upload = _begin(job, blob, note)
        if upload is None:
            return 0
        began_at = upload.offset
        file.seek(began_at)
        try:
            while piece := file.read(_PIECE):
                upload = job.repository.send(upload, piece)
                _write(note, upload.location)
                meter.show(upload.offset)
            job.repository.finish_upload(upload, blob)
        except RegistryError as error:
            if error.status:
                _write(note, "")  # the registry has heard us, and wants no more of this upload
            raise
    return blob.size - began_at


def _begin(job: Push, blob: Blob, note: IO[str]) -> Upload | None:
    """The upload that was begun before, or a new one; nothing when the registry has the blob by now."""
    note.seek(0)
    location = note.read()
    if location:
        upload = job.repository.resume_upload(location)
        if upload and upload.offset <= blob.size:
            return upload
    return job.repository.begin_upload(blob, job.mount_from)


@contextmanager
def _location_note(job: Push, blob: Blob) -> Iterator[IO[str]]:
    """The file that says where the next piece of a blob goes, held by one push at a time; gone when all went well."""
    path = job.layout.root / "uploads" / digest.of_bytes(f"{job.repository} {blob.digest}".encode())
    with _open_note(path) as note:
        fcntl.flock(note, fcntl.LOCK_EX)
        yield note
        path.unlink(missing_ok=True)


def _open_note(path: Path) -> IO[str]:
    try:
        path.parent.mkdir(exist_ok=True)
        return path.open("a+")
    except PermissionError:  # who may only read the store can push, but not go on where a push was stopped
        return tempfile.TemporaryFile("a+")


def _write(note: IO[str], location: str) -> None:
    note.truncate(0)
    note.write(location)
    note.flush()
