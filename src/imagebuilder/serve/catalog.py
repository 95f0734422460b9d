"""What the store offers to nodes: a picture of index.json and of what it leads to, taken anew when it changes.

A manifest that is damaged or missing takes away its own names only; `problems` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from imagebuilder.errors import ImagebuilderError
from imagebuilder.store.index import LATEST, Index, read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import MANIFEST_TYPE, Manifest
from imagebuilder.store.referrers import Referrer, referrer_of
from imagebuilder.store.signing import SIGNATURE_TYPE, SUFFIX

MANIFEST_FILE = ".manifest.json"
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Catalog:
    """A store at one moment.

    `names` are `IMAGE:TAG`; `images` are by the sha256 of their manifest; `media_types` has every manifest that
    index.json lists, `referrers` what is attached to one, `files` the file names of what `IMAGE:latest` are.
    """

    names: Mapping[str, Blob] = field(default_factory=dict)
    images: Mapping[str, Manifest] = field(default_factory=dict)
    media_types: Mapping[str, str] = field(default_factory=dict)
    referrers: Mapping[str, tuple[Referrer, ...]] = field(default_factory=dict)
    files: Mapping[str, Blob] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def tags(self, image: str) -> list[str]:
        """The tags of an image, sorted."""
        return sorted(tag for known, _, tag in (name.partition(":") for name in self.names) if known == image)

    def image_names(self) -> list[str]:
        """All images, without tags, sorted."""
        return sorted({name.partition(":")[0] for name in self.names})

    def manifest(self, name: str) -> Blob | None:
        """What `IMAGE:TAG` or `IMAGE@sha256:HEX` stands for, None if it is not in the store."""
        image, at, digest = name.partition("@")
        if not at:
            return self.names.get(name)
        sha256 = digest.removeprefix("sha256:")
        return Blob(sha256, 0) if sha256 in self.images and self.tags(image) else None

    def signature(self, sha256: str, image: str | None = None) -> Blob | None:
        """The last signature that was attached to a manifest, under the name of an image if one is given."""
        return _signature(self.referrers.get(sha256, ()), image)

    def sums(self) -> str:
        """The lines of SHA256SUMS for all files."""
        return "".join(f"{blob.sha256}  {name}\n" for name, blob in sorted(self.files.items()))


def read_catalog(layout: Layout) -> Catalog:
    """Take the picture. Raises ImagebuilderError for what is no index."""
    index = read_index(layout)
    problems: list[str] = []
    images = _images(layout, index, problems)
    referrers = _referrers(layout, index, problems)
    names = {name: blob for name, blob in index.names.items() if blob.sha256 in images}
    foreign = {blob.sha256: str(entry.get("mediaType", "")) for entry, blob in index.foreign_blobs()}
    return Catalog(
        names,
        images,
        media_types={**foreign, **dict.fromkeys(images, MANIFEST_TYPE)},
        referrers=referrers,
        files=_files(names, images, referrers),
        problems=tuple(problems),
    )


def _images(layout: Layout, index: Index, problems: list[str]) -> dict[str, Manifest]:
    images = {}
    for blob in dict.fromkeys([*index.names.values(), *(former.manifest for former in index.past)]):
        try:
            images[blob.sha256] = Manifest.from_bytes(layout.read(blob.sha256))
        except ImagebuilderError as error:
            problems.append(error.message)
    return images


def _referrers(layout: Layout, index: Index, problems: list[str]) -> dict[str, tuple[Referrer, ...]]:
    found: dict[str, list[Referrer]] = {}
    for entry, blob in index.foreign_blobs():
        try:
            if about := referrer_of(layout, entry, blob):
                found.setdefault(about[0].sha256, []).append(about[1])
        except ImagebuilderError as error:
            problems.append(error.message)
    return {sha256: tuple(referrers) for sha256, referrers in found.items()}


def _files(
    names: Mapping[str, Blob], images: Mapping[str, Manifest], referrers: Mapping[str, tuple[Referrer, ...]]
) -> dict[str, Blob]:
    """By file name: the layers, manifests and signatures of what `IMAGE:latest` are; the newest image has its way."""
    files: dict[str, Blob] = {}
    latest = [(images[blob.sha256].created, name, blob) for name, blob in names.items() if name.endswith(f":{LATEST}")]
    for _, name, blob in sorted(latest):
        image = name.removesuffix(f":{LATEST}")
        files[image + MANIFEST_FILE] = blob
        if signature := _signature(referrers.get(blob.sha256, ()), image):
            files[image + MANIFEST_FILE + SUFFIX] = signature
        files |= {layer.title: layer.blob for layer in images[blob.sha256].layers}
    return files


def _signature(referrers: tuple[Referrer, ...], image: str | None) -> Blob | None:
    documents = [file for referrer in referrers if referrer.artifact_type == SIGNATURE_TYPE for file in referrer.files]
    wanted = image and image + MANIFEST_FILE + SUFFIX
    return next((file.blob for file in reversed(documents) if wanted in (None, file.title)), None)


class Shelf:
    """The catalog of a store as it is now: read again when index.json has changed, kept when that fails."""

    def __init__(self, layout: Layout, tell: Callable[[str], None]) -> None:
        self.layout = layout
        self._tell = tell
        self._seen: tuple[int, ...] | None = ()
        self._catalog = Catalog()

    @property
    def catalog(self) -> Catalog:
        """The catalog. A stat(2) when nothing has changed; some milliseconds when something has."""
        seen = self._look()
        if seen != self._seen:
            self._seen = seen
            try:
                self._catalog = read_catalog(self.layout)
            except ImagebuilderError as error:
                self._tell(f"{error.message}; what was there before is served on")
            else:
                for problem in self._catalog.problems:
                    self._tell(problem)
        return self._catalog

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = self.layout.index.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
