"""index.json: every manifest by its names, and the names' past.

A name is `IMAGE:TAG`. Each build moves `IMAGE:latest`; channels (`stable`,
`canary`) move when somebody says so. The manifest that a name left stays in
the index, annotated with that name and a number that grows, so that the name
can go back. The whole index changes by one rename.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from imagebuilder.errors import ImagebuilderError, UserError
from imagebuilder.host import files
from imagebuilder.store.layout import Blob, Layout
from imagebuilder.store.manifest import ARTIFACT_TYPE, MANIFEST_TYPE, blob_of, descriptor

LATEST = "latest"
_TYPE = "application/vnd.oci.image.index.v1+json"
_NAME = re.compile(r"[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)*")
_REF = "org.opencontainers.image.ref.name"
_FORMER = "vnd.on-imagebuilder.former-name"
_NO_INDEX = "the next build writes a new one, and names what it makes; nothing else has a name then"
_ORDER = "vnd.on-imagebuilder.order"


@dataclass(frozen=True, slots=True)
class Former:
    """A manifest that a name once stood for; the larger `order`, the later."""

    name: str
    order: int
    manifest: Blob


@dataclass(frozen=True, slots=True)
class Index:
    """Names and what they stand for, the past of the names (oldest first), and entries that others put there."""

    names: dict[str, Blob] = field(default_factory=dict)
    past: tuple[Former, ...] = ()
    foreign: tuple[dict[str, Any], ...] = ()

    def moved(self, name: str, manifest: Blob) -> Index:
        """The index with `name` standing for `manifest`."""
        before = self.names.get(name)
        if before == manifest:
            return self
        past = self.past
        if before:
            past = (*past, Former(name, max((former.order for former in past), default=0) + 1, before))
        return replace(self, names={**self.names, name: manifest}, past=past)

    def rolled_back(self, name: str) -> Index:
        """The index with `name` standing for what it stood for before. Raises UserError when there is no before."""
        earlier = [former for former in self.past if former.name == name]
        if not earlier:
            raise UserError(f"`{name}` never stood for anything else", hint="`imagebuilder store ls` lists the names")
        last = earlier[-1]
        past = tuple(former for former in self.past if former != last)
        return replace(self, names={**self.names, name: last.manifest}, past=past)

    def without(self, name: str) -> Index:
        """The index without a name and its past."""
        names = {known: blob for known, blob in self.names.items() if known != name}
        return replace(self, names=names, past=tuple(former for former in self.past if former.name != name))

    def with_past(self, keep: int) -> Index:
        """The index with the last `keep` manifests that each name stood for before."""
        kept: list[Former] = []
        met: Counter[str] = Counter()
        for former in reversed(self.past):
            met[former.name] += 1
            if met[former.name] <= keep:
                kept.insert(0, former)
        return replace(self, past=tuple(kept))

    def with_foreign(self, *entries: dict[str, Any]) -> Index:
        """The index with entries that have no name of ours; each is there once."""
        known = {entry.get("digest") for entry in self.foreign}
        new = {entry["digest"]: entry for entry in entries if entry["digest"] not in known}
        return replace(self, foreign=(*self.foreign, *new.values())) if new else self

    def foreign_blobs(self) -> Iterator[tuple[dict[str, Any], Blob]]:
        """The entries of others, each with its content; not what is named by another digest than sha256."""
        for entry in self.foreign:
            with suppress(ValueError):
                yield entry, blob_of(entry)

    def to_json(self) -> str:
        """The OCI image index, an entry a line."""
        entries = [_entry(blob, {_REF: name}) for name, blob in sorted(self.names.items())]
        entries += [_entry(f.manifest, {_FORMER: f.name, _ORDER: str(f.order)}) for f in self.past]
        lines = ",\n".join(json.dumps(entry) for entry in (*entries, *self.foreign))
        return f'{{"schemaVersion": 2, "mediaType": "{_TYPE}", "manifests": [\n{lines}\n]}}\n'

    @classmethod
    def from_json(cls, text: str) -> Index:
        """Read one. Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
        names: dict[str, Blob] = {}
        past: list[Former] = []
        foreign: list[dict[str, Any]] = []
        for entry in json.loads(text)["manifests"]:
            notes = entry.get("annotations", {})
            if entry.get("artifactType") == ARTIFACT_TYPE and _REF in notes:
                names[notes[_REF]] = blob_of(entry)
            elif entry.get("artifactType") == ARTIFACT_TYPE and _FORMER in notes:
                past.append(Former(notes[_FORMER], int(notes[_ORDER]), blob_of(entry)))
            else:
                foreign.append(entry)
        return cls(names, tuple(sorted(past, key=lambda former: former.order)), tuple(foreign))


def full_name(given: str) -> str:
    """`IMAGE:TAG` for what a user wrote: `IMAGE` alone is its latest. Raises UserError for what is no name."""
    image, colon, tag = given.partition(":")
    if not _NAME.fullmatch(image) or (colon and not _NAME.fullmatch(tag)):
        raise UserError(f"`{given}` is no name of a manifest", hint="names are like `discovery` or `discovery:stable`")
    return f"{image}:{tag or LATEST}"


def read_index(layout: Layout) -> Index:
    """The index of a store; an empty one where there is no store. Raises ImagebuilderError for what is no index."""
    try:
        return Index.from_json(layout.index.read_text())
    except FileNotFoundError:
        # Never taken for an index without names: somebody might write that down.
        if layout.blobs.exists():
            raise ImagebuilderError(f"the store {layout.root} has no index.json", hint=_NO_INDEX) from None
        return Index()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImagebuilderError(
            f"{layout.index} is no index of an OCI image layout: {error!r}",
            hint=f"move it away; {_NO_INDEX}",
        ) from None


def change_index(layout: Layout, change: Callable[[Index], Index]) -> Index:
    """Replace the index by what `change` makes of it; others see the old one or the new one."""
    with layout.changing():
        old = read_index(layout)
        new = change(old)
        if new != old:
            files.publish_text(new.to_json(), layout.index)
        return new


def _entry(blob: Blob, annotations: dict[str, str]) -> dict[str, Any]:
    return {**descriptor(MANIFEST_TYPE, blob), "artifactType": ARTIFACT_TYPE, "annotations": annotations}
