"""A node's layer: an overlay with the files that were rendered for it, named by its sha256.

It is a cpio archive like every overlay (steps/cpio.py), of folders and plain files alone, and without the folder
that overlays of builds bring along: what is not made on a base knows nothing of one. Folders that are below keep
their owner and mode there; the initrd sees to it (node/initrd, nodelayer.sh). All times are those of 1970.
"""

from __future__ import annotations

import gzip
import io
import json
import stat
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from imagebuilder import digest
from imagebuilder.errors import UserError
from imagebuilder.serve.nodelayer.templates import LayerFile, Rendered, render
from imagebuilder.serve.nodelayer.variables import Value
from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member, Source
from imagebuilder.steps.layer import folders_of

LARGEST = 1 << 20
"""Bytes of a layer; the initrd takes no more."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A file of a layer as it may be shown and remembered: secrets are masked."""

    path: str
    mode: str
    owner: int
    group: int
    content: str
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeLayer:
    """The overlay of one node. `is_secret` says whether any value in it is; `files` are by path."""

    data: bytes
    sha256: str
    is_secret: bool
    files: tuple[Shown, ...]


def layer_of(files: Sequence[LayerFile], values: Mapping[str, Value], facts: Mapping[str, str]) -> NodeLayer:
    """Render all files for a node. Raises SpecError for what cannot be rendered, UserError for too much of it."""
    rendered = sorted((render(file, values, facts) for file in files), key=lambda file: file.dest)
    data = pack(rendered)
    if len(data) > LARGEST:
        raise UserError(
            f"the layer of a node has {len(data)} bytes, over {LARGEST}",
            hint="what is the same for all nodes belongs in an overlay",
        )
    is_secret = any(file.secrets for file in rendered)
    return NodeLayer(data, digest.of_bytes(data), is_secret, tuple(map(_shown, rendered)))


def pack(files: Sequence[Rendered]) -> bytes:
    """The overlay of these files, gzipped. The same files give the same bytes."""
    sources: dict[bytes, Source] = {}
    for file in files:
        name, data = file.dest.removeprefix("/").encode(), file.text.encode()
        sources |= {folder: Source(Member(folder, stat.S_IFDIR | 0o755)) for folder in folders_of(name)}
        member = Member(name, stat.S_IFREG | file.mode, file.owner, file.group, size=len(data))
        sources[name] = Source(member, data)
    archive = io.BytesIO()
    cpio.write(cpio.number([Source(Member(b".", stat.S_IFDIR | 0o755)), *sources.values()]), archive)
    return gzip.compress(archive.getvalue(), mtime=0)


def _shown(file: Rendered) -> Shown:
    return Shown(file.dest, f"{file.mode:04o}", file.owner, file.group, file.shown, file.secrets)


def shown_to_text(files: Sequence[Shown]) -> str:
    """Files to be remembered, as JSON."""
    return json.dumps([asdict(file) for file in files])


def shown_of_text(text: str) -> tuple[Shown, ...]:
    """Files as they were remembered."""
    return tuple(Shown(**{**value, "secrets": tuple(value["secrets"])}) for value in json.loads(text))
