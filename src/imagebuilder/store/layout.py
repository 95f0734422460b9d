"""The store on disk: an OCI image layout, which public tools read.

    STORE/oci-layout             {"imageLayoutVersion": "1.0.0"}
    STORE/index.json             which manifests there are, by name (store/index.py)
    STORE/blobs/sha256/HEX       kernels, initrds, bases, overlays, manifests; never changed, mode 0444
    STORE/actions/ID             which blob a step made (store/actions.py)
    STORE/incoming/              what running builds have not finished
    STORE/partial/HEX            the beginning of a blob that is being fetched (store/pull.py)
    STORE/uploads/               uploads that were begun (store/push.py)
    STORE/damaged/HEX            what was found not to be what its name says (store/verify.py)
    STORE/lock                   held by whoever changes index.json
    STORE/in-use                 held, shared, by builds; alone by whoever removes blobs

A blob appears whole and on disk, by a rename; index.json and actions are
replaced the same way and name only blobs that are there. So whenever a
program is killed, what the store says is true.

Source: github.com/opencontainers/image-spec, image-layout.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from imagebuilder import digest
from imagebuilder.errors import ImagebuilderError
from imagebuilder.host import files

_SHA256 = re.compile("[0-9a-f]{64}")
_VERSION = {"imageLayoutVersion": "1.0.0"}
_EMPTY_INDEX = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}


@dataclass(frozen=True, slots=True)
class Blob:
    """Content by its sha256 (hex) and its size in bytes."""

    sha256: str
    size: int

    @property
    def digest(self) -> str:
        """As OCI writes it."""
        return f"sha256:{self.sha256}"


class Layout:
    """The image layout at `root`; made when something is first put into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = root / "blobs/sha256"
        self.index = root / "index.json"

    def prepare(self) -> None:
        """Make the layout where there is none yet. Raises ImagebuilderError for one that is of another version."""
        marker = self.root / "oci-layout"
        self.blobs.mkdir(parents=True, exist_ok=True)
        for path, value in ((self.index, _EMPTY_INDEX), (marker, _VERSION)):
            if not path.exists():
                files.publish_new(json.dumps(value), path)
        found = json.loads(marker.read_text()).get("imageLayoutVersion")
        if found != _VERSION["imageLayoutVersion"]:
            raise ImagebuilderError(f"{self.root} is an image layout of version {found}, which is not known here")

    def path(self, sha256: str) -> Path:
        """Where the blob of this digest is, or would be."""
        return self.blobs / sha256

    def has(self, sha256: str) -> bool:
        """Whether the blob is here."""
        # Over NFS, open asks the server, where stat may answer from what it was told a minute ago.
        try:
            os.close(os.open(self.path(sha256), os.O_RDONLY))
        except FileNotFoundError:
            return False
        return True

    def read(self, sha256: str) -> bytes:
        """A blob's content. Raises ImagebuilderError when it is not here, or not what its name says."""
        try:
            data = self.path(sha256).read_bytes()
        except FileNotFoundError:
            raise ImagebuilderError(
                f"the store {self.root} has no blob sha256:{sha256}",
                hint="`imagebuilder store verify` says what it lacks",
            ) from None
        if digest.of_bytes(data) != sha256:
            raise ImagebuilderError(
                f"the blob sha256:{sha256} of {self.root} is damaged",
                hint="`imagebuilder store verify --repair` mends it",
            )
        return data

    def adopt(self, source: Path) -> Blob:
        """Take a finished file on the same file system into the store; its own name is gone afterwards."""
        blob = Blob(digest.of_file(source), source.stat().st_size)
        source.chmod(0o444)
        if self.has(blob.sha256):
            source.unlink()
        else:
            files.settle(source, self.path(blob.sha256))
        return blob

    def put(self, data: bytes) -> Blob:
        """Take some bytes into the store."""
        blob = Blob(digest.of_bytes(data), len(data))
        if not self.has(blob.sha256):
            files.publish_bytes(data, self.path(blob.sha256), mode=0o444)
        return blob

    def incoming(self) -> AbstractContextManager[Path]:
        """A folder for unfinished blobs, of this process alone, gone after the block."""
        return files.workroom(self.root / "incoming")

    def changing(self) -> AbstractContextManager[None]:
        """Only one at a time changes index.json."""
        return files.locked(self.root / "lock")

    def used(self) -> AbstractContextManager[None]:
        """Nobody removes anything during the block."""
        return files.locked(self.root / "in-use", shared=True)

    def emptied(self) -> AbstractContextManager[None]:
        """Nobody builds during the block. Raises ImagebuilderError when somebody does already."""
        busy = ImagebuilderError(
            f"somebody builds into the store {self.root}", hint="try again when the build has ended"
        )
        return files.locked_at_once(self.root / "in-use", busy)

    def set_aside(self, sha256: str) -> None:
        """Have a blob that is not what its name says served to nobody, but still there to be looked at."""
        aside = self.root / "damaged" / sha256
        aside.parent.mkdir(exist_ok=True)
        os.rename(self.path(sha256), aside)

    def total(self) -> tuple[int, int]:
        """How many blobs there are, and their bytes."""
        sizes = [blob.size for blob in self.all_blobs()]
        return len(sizes), sum(sizes)

    def left_over(self) -> list[Path]:
        """What killed builds, pushes and pulls did not finish, and what is damaged; while the store is `emptied`."""
        rooms = [path for path in (self.root / "incoming").glob("*/") if path.is_dir()]
        others = [path for name in ("partial", "uploads", "damaged") for path in (self.root / name).glob("*")]
        hidden = [path for name in (".", "actions", "blobs/sha256") for path in files.unfinished(self.root / name)]
        return sorted([*rooms, *others, *hidden])

    def all_blobs(self) -> Iterator[Blob]:
        """Every blob that is here, by name, not by content."""
        if self.blobs.is_dir():
            for entry in list(os.scandir(self.blobs)):
                if _SHA256.fullmatch(entry.name):
                    yield Blob(entry.name, entry.stat().st_size)
