"""A hash tree behind a squashfs, by which the node's kernel checks each block of it whenever it reads one.

It is dm-verity's, without a superblock: blocks of 4096 bytes, sha256, no salt. A level of the tree is the
digests of the blocks below it, filled up with zeros to whole blocks; the top comes first. What is said in a
manifest, and so signed, is `on-imagebuilder.verity`: the number of the squashfs's blocks, behind which the tree
begins, and the digest of the top.

Source: Linux Documentation/admin-guide/device-mapper/verity.rst.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, ClassVar

from imagebuilder.host.machine import Machine
from imagebuilder.steps.base import Inputs, Step

_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class HashTree:
    """The tree over a file of so many `blocks`, the last one filled up with zeros."""

    blocks: int
    tree: bytes
    root: str


@dataclass(frozen=True, slots=True)
class AppendHashTree(Step):
    """The input `packed` with its hash tree behind it; `lower` are the layers that it was made of."""

    kind: ClassVar[str] = "verity"

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write it."""
        (packed,) = inputs["packed"]
        shutil.copyfile(packed, output)
        with packed.open("rb") as file:
            made = hash_tree(file)
        with output.open("r+b") as file:
            file.truncate(made.blocks * _BLOCK)
            file.seek(0, 2)
            file.write(made.tree)


@dataclass(frozen=True, slots=True)
class NoteRootHash(Step):
    """What manifests say of the input `packed` with its hash tree."""

    kind: ClassVar[str] = "verity-note"

    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Write it as JSON."""
        (packed,) = inputs["packed"]
        with packed.open("rb") as file:
            made = hash_tree(file)
        output.write_text(json.dumps((("on-imagebuilder.verity", f"{made.blocks} {made.root}"),)))


def hash_tree(file: IO[bytes]) -> HashTree:
    """The hash tree of what is left of a file."""
    digests = [hashlib.sha256(block).digest() for block in _blocks(file)]
    blocks, tree = len(digests), b""
    while len(digests) > 1:
        level = b"".join(digests)
        level += bytes(-len(level) % _BLOCK)
        tree = level + tree
        digests = [hashlib.sha256(level[at : at + _BLOCK]).digest() for at in range(0, len(level), _BLOCK)]
    return HashTree(blocks, tree, digests[0].hex())


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block.ljust(_BLOCK, b"\0")
