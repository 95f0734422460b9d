"""One repository of a registry: what the OCI distribution specification can do to its blobs and manifests.

Source: github.com/opencontainers/distribution-spec, spec.md, version 1.1.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import urllib3

from imagebuilder import digest
from imagebuilder.errors import RegistryError
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import MANIFEST_TYPE, blob_of
from imagebuilder.store.registry.transport import Answer, Request, Transport

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
_BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Upload:
    """A blob on its way: where the next bytes go, and how many are there."""

    location: str
    offset: int


class Repository:
    """A repository of the registry that `transport` speaks to."""

    def __init__(self, transport: Transport, name: str) -> None:
        self._transport = transport
        self.name = name

    def __str__(self) -> str:
        return f"{self._transport.site.host}/{self.name}"

    def has_blob(self, blob: Blob) -> bool:
        """Whether the blob is there."""
        return self._ask("HEAD", f"blobs/{blob.digest}", accept=(200, 404)).status == 200

    def open_blob(self, blob: Blob, offset: int) -> tuple[urllib3.BaseHTTPResponse, int] | None:
        """A stream of a blob's bytes and where in it the stream begins: at `offset`, or at 0 if that cannot be had.

        Nothing when the blob is not there.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        answer = self._transport.stream(
            Request("GET", self._path(f"blobs/{blob.digest}"), headers, accept=(200, 206, 404, 416))
        )
        if answer.status in (404, 416):
            answer.close()
            return self.open_blob(blob, 0) if answer.status == 416 and offset else None
        if answer.status == 200:
            return answer, 0
        if not answer.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise RegistryError(f"{self} sends other bytes of {blob.digest} than it was asked for")
        return answer, offset

    def manifest(self, reference: str) -> bytes | None:
        """The manifest or index of a tag or a digest, if it is there.

        Raises RegistryError when it is not what the digest says.
        """
        headers = {"Accept": f"{MANIFEST_TYPE}, {INDEX_TYPE}"}
        answer = self._ask("GET", f"manifests/{reference}", headers=headers, accept=(200, 404))
        if answer.status == 404:
            return None
        found = f"sha256:{digest.of_bytes(answer.body)}"
        wanted = reference if ":" in reference else answer.headers.get("Docker-Content-Digest", found)
        if found != wanted:
            raise RegistryError(f"{self} serves something else than {wanted} as `{reference}`: {found}")
        return answer.body

    def put_manifest(self, data: bytes, reference: str, media_type: str = MANIFEST_TYPE) -> bool:
        """Store a manifest by a tag or its digest; whether the registry lists it with its subject from now on."""
        headers = {"Content-Type": media_type}
        answer = self._ask("PUT", f"manifests/{reference}", headers=headers, body=data, accept=(201,))
        return "OCI-Subject" in answer.headers

    def referrers(self, subject: Blob) -> list[dict[str, Any]]:
        """The descriptors of what is about a manifest; from the tag that lists them where there is no other list."""
        answer = self._ask("GET", f"referrers/{subject.digest}", accept=(200, 404))
        body = answer.body if answer.status == 200 else self.manifest(_fallback_tag(subject))
        return [] if body is None else _entries(body)

    def list_referrer(self, subject: Blob, entry: dict[str, Any]) -> None:
        """Put what is about a manifest on the tag that lists such things, as a registry without a list asks for it."""
        tag = _fallback_tag(subject)
        entries = self.referrers(subject)
        if entry["digest"] not in [old["digest"] for old in entries]:
            index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*entries, entry]}
            self.put_manifest(json.dumps(index, indent=2).encode(), tag, INDEX_TYPE)

    def begin_upload(self, blob: Blob, mount_from: str = "") -> Upload | None:
        """Begin to send a blob; nothing when the registry could take it from its repository `mount_from`."""
        query = f"?{urlencode({'mount': blob.digest, 'from': mount_from})}" if mount_from else ""
        answer = self._ask("POST", f"blobs/uploads/{query}", body=b"", accept=(201, 202))
        return None if answer.status == 201 else self._upload(answer, 0)

    def resume_upload(self, location: str) -> Upload | None:
        """An upload that was begun before, if the registry still knows it."""
        try:
            answer = self._transport.ask(Request("GET", location, accept=(204,)))
        except RegistryError as error:
            if error.status:
                return None
            raise
        last = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", ""))
        # `0-0` is said of nothing at all: nobody sends a single byte.
        count = int(last[1]) + 1 if last and int(last[1]) else 0
        return self._upload(answer, count)

    def send(self, upload: Upload, data: bytes) -> Upload:
        """Send the next bytes."""
        end = upload.offset + len(data)
        headers = {"Content-Type": _BYTES, "Content-Range": f"{upload.offset}-{end - 1}"}
        answer = self._transport.ask(Request("PATCH", upload.location, headers, data, accept=(202,)))
        return self._upload(answer, end)

    def finish_upload(self, upload: Upload, blob: Blob) -> None:
        """Say that all bytes are there; the registry checks them."""
        joint = "&" if "?" in upload.location else "?"
        location = f"{upload.location}{joint}{urlencode({'digest': blob.digest})}"
        self._transport.ask(Request("PUT", location, {"Content-Type": _BYTES}, b"", accept=(201,)))

    def _upload(self, answer: Answer, offset: int) -> Upload:
        location = answer.headers.get("Location")
        if not location:
            raise RegistryError(f"{self} does not say where a blob is to be sent")
        return Upload(self._transport.absolute(location), offset)

    def _ask(self, method: str, path: str, **more: Any) -> Answer:
        return self._transport.ask(Request(method, self._path(path), **more))

    def _path(self, path: str) -> str:
        return f"/v2/{self.name}/{path}"


def _fallback_tag(subject: Blob) -> str:
    return f"sha256-{subject.sha256}"


def _entries(index: bytes) -> list[dict[str, Any]]:
    try:
        entries: list[dict[str, Any]] = json.loads(index)["manifests"]
        for entry in entries:
            blob_of(entry)
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"a registry's list of what is about a manifest is no index: {error!r}") from None
    return entries
