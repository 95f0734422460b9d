"""Bills of materials in the store: attached to each manifest that a build makes, and read again.

A manifest has three referrers (store/referrers.py), each with one file a layer:

    application/vnd.on-imagebuilder.packages.v1+json   what the steps listed (sbom/packages.py)
    application/spdx+json                              SPDX; the first file is about the manifest as a whole
    application/vnd.cyclonedx+json                     CycloneDX, likewise
"""

from __future__ import annotations

import difflib
import importlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.store.index import full_name, read_index
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import BASE, INITRD, KERNEL, OVERLAYS, Layer, Manifest
from imagebuilder.store.referrers import PACKAGES, Attachment, attach_all, referrers

if TYPE_CHECKING:
    from imagebuilder.sbom.bill import Artifact
    from imagebuilder.sbom.packages import PackageList

_KINDS = {KERNEL: "kernel", INITRD: "initrd", BASE: "base", **dict.fromkeys(OVERLAYS.values(), "overlay")}


@dataclass(frozen=True, slots=True)
class Format:
    """A format of documents: its media type, the end of their file names, and the module of `sbom/` that makes them."""

    media_type: str
    suffix: str
    module: str

    def document(self, about: Artifact, created: str) -> dict[str, Any]:
        """The document about an artifact."""
        # Late, as all that makes a bill: a build with nothing to do has them all.
        made: dict[str, Any] = importlib.import_module(f"imagebuilder.sbom.{self.module}").document(about, created)
        return made


FORMATS: Mapping[str, Format] = {
    "spdx": Format("application/spdx+json", ".spdx.json", "spdx"),
    "cyclonedx": Format("application/vnd.cyclonedx+json", ".cdx.json", "cyclonedx"),
}


def attach_sboms(layout: Layout, manifests: Iterable[Blob], lists: Mapping[str, Blob]) -> None:
    """Attach lists and documents to manifests that have none yet; `lists` is by the title of the layer.

    All three kinds come at once, so one that has the lists has the documents.
    """
    index = read_index(layout)
    made: dict[tuple[str, str], Layer] = {}
    new: list[Attachment] = []
    for blob in manifests:
        manifest = Manifest.from_bytes(layout.read(blob.sha256))
        files = [Layer(PACKAGES, layer.title, lists[layer.title]) for layer in manifest.layers]
        packages = Attachment(blob, PACKAGES, files)
        if not packages.is_in(index):
            new += [packages, *_documents(layout, blob, manifest, lists, made)]
    attach_all(layout, new)


def _documents(
    layout: Layout,
    blob: Blob,
    manifest: Manifest,
    lists: Mapping[str, Blob],
    made: dict[tuple[str, str], Layer],
) -> Iterator[Attachment]:
    """The documents about a manifest, by format; `made` are those about layers, which manifests share."""
    from imagebuilder.sbom.bill import Artifact, image
    from imagebuilder.sbom.packages import PackageList

    parts = [
        Artifact(layer.title, layer.blob.sha256, PackageList.from_json(layout.read(lists[layer.title].sha256)))
        for layer in manifest.layers
    ]
    whole = image(parts[-1].title, blob.sha256, parts)
    for form in FORMATS.values():
        for part in parts:
            if (form.suffix, part.title) not in made:
                made[form.suffix, part.title] = _document(layout, form, part, manifest.created, part.title)
        first = _document(layout, form, whole, manifest.created, "manifest")
        yield Attachment(blob, form.media_type, [first, *(made[form.suffix, part.title] for part in parts)])


def _document(layout: Layout, form: Format, about: Artifact, created: str, title: str) -> Layer:
    text = json.dumps(form.document(about, created), ensure_ascii=False, separators=(",", ":"))
    return Layer(form.media_type, title + form.suffix, layout.put(text.encode()))


def find_manifest(layout: Layout, given: str) -> tuple[Blob, Manifest]:
    """What a name (`discovery`, `discovery:stable`) or a digest (`sha256:HEX`) stands for. Raises UserError."""
    if re.fullmatch("sha256:[0-9a-f]{64}", given):
        hexadecimal = given.removeprefix("sha256:")
        if not layout.has(hexadecimal):
            raise UserError(f"the store {layout.root} has no manifest `{given}`")
        data = layout.read(hexadecimal)
        return Blob(hexadecimal, len(data)), Manifest.from_bytes(data)
    names = read_index(layout).names
    blob = names.get(full_name(given))
    if blob is None:
        images = {name.partition(":")[0] for name in names}
        near = difflib.get_close_matches(given.partition(":")[0], images, n=1)
        known = f"did you mean `{near[0]}`?" if near else f"it has: {', '.join(sorted(names)) or 'nothing yet'}"
        raise UserError(f"the store {layout.root} has no manifest `{given}`", hint=known)
    return blob, Manifest.from_bytes(layout.read(blob.sha256))


def package_lists(layout: Layout, subject: Blob) -> dict[str, PackageList]:
    """The packages of a manifest's layers, by the layers' titles; empty for one without lists."""
    from imagebuilder.sbom.packages import PackageList

    files = _files(layout, subject, PACKAGES)
    return {file.title: PackageList.from_json(layout.read(file.blob.sha256)) for file in files}


def find_document(layout: Layout, given: str, form: Format, wanted: str | None) -> bytes:
    """The attached document about a manifest, or about the layer `wanted`. Raises ImagebuilderError, UserError."""
    blob, manifest = find_manifest(layout, given)
    title = _layer(manifest, wanted).title if wanted else "manifest"
    for file in _files(layout, blob, form.media_type):
        if file.title == title + form.suffix:
            return layout.read(file.blob.sha256)
    raise ImagebuilderError(
        f"`{given}` has no bill of materials in {form.media_type}", hint="`imagebuilder build` attaches one"
    )


def _layer(manifest: Manifest, wanted: str) -> Layer:
    """A layer by its title, by its kind, or by the name of its image. Raises UserError unless it is one."""
    found = [layer for layer in manifest.layers if wanted in (layer.title, _KINDS.get(layer.media_type))]
    found = found or [layer for layer in manifest.layers if layer.title.startswith(f"{wanted}.")]
    if len(found) != 1:
        titles = ", ".join(f"`{layer.title}`" for layer in found or manifest.layers)
        raise UserError(f"`{wanted}` is {'no' if not found else 'more than one'} layer here", hint=f"one of {titles}")
    return found[0]


def _files(layout: Layout, subject: Blob, artifact_type: str) -> tuple[Layer, ...]:
    found = [referrer.files for referrer in referrers(layout, subject) if referrer.artifact_type == artifact_type]
    return found[-1] if found else ()
