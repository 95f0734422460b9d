"""What was changed on a node since it booted, fetched by ssh (docs/decisions/0015-changes-of-nodes-by-ssh.md).

The node runs node-changes.sh, which comes with the command: nothing of ours
has to be there. Its answer is one stream, so that all of it is of one boot:

    SHA256 NAME newline     of each layer that it booted, the base's first; SHA256 is `-` where nobody said it
    newline
    BASE64 newline          the names of sockets, each closed by a zero byte, which tar leaves out
    a tar archive           of the upperdir
    END newline
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

from imagebuilder.engine.checking import root_parts
from imagebuilder.engine.parts import Part
from imagebuilder.errors import CommandError, ImagebuilderError, UserError
from imagebuilder.host.command import Command, output_of
from imagebuilder.steps import handmade
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry
from imagebuilder.steps.unpack import upper_from_tar
from imagebuilder.store.index import read_index
from imagebuilder.store.layout import Layout
from imagebuilder.store.manifest import BASE, OVERLAYS, Manifest

SCRIPT = Path(__file__).with_name("node-changes.sh")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REFUSED = "refused: "
_UNREACHABLE = 255  # ssh's own failures: ssh(1), EXIT STATUS
# A node that restarts never says that it is gone.
_WATCHFUL = ("-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")
_LINE = re.compile(rb"([0-9a-f]{64}|-) (.*)\n")
_END = b"END\n"
_LINE_LIMIT = 1 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Booted:
    """A layer that a node booted; `sha256` is None when no server said it."""

    name: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Node:
    """Where a node's ssh server is, who logs in, and how: `ssh` is the program with its options."""

    host: str
    user: str
    port: int | None
    ssh: tuple[str, ...]
    environment: Mapping[str, str]

    def __str__(self) -> str:
        return self.host

    def command(self, patterns: Sequence[str]) -> Command:
        """What has the node tell, without what is at `patterns`."""
        script = ("sh", "-c", SCRIPT.read_text(encoding="utf-8"), "sh", *(f".{pattern}" for pattern in patterns))
        told = shlex.join(script if self.user == "root" else ("sudo", "-n", *script))
        port = ("-p", str(self.port)) if self.port else ()
        return Command((*self.ssh, "-T", *_WATCHFUL, *port, f"{self.user}@{self.host}", told), env=self.environment)


def node_at(url: str, ssh: str, environment: Mapping[str, str]) -> Node:
    """The node at `ssh://[USER@]HOST[:PORT]`, reached by the command line `ssh`. Raises UserError for anything else."""
    try:
        parts, program = urlsplit(url), tuple(shlex.split(ssh))
        port = parts.port
    except ValueError as error:
        raise UserError(f"`{url}` by `{ssh}`: {error}") from None
    user = parts.username or "root"
    is_more = parts.path.strip("/") or parts.query or parts.fragment or parts.password
    if parts.scheme != "ssh" or not parts.hostname or not _USER.fullmatch(user) or is_more or not program:
        raise UserError(f"`{url}` does not say where a node is", hint="write ssh://[USER@]HOST[:PORT]; USER is root")
    return Node(parts.hostname, user, port, program, environment)


def fetch_changes(node: Node, folder: Path, accept: Callable[[tuple[Booted, ...]], None]) -> list[Entry]:
    """The names of a node's upperdir, as `layer.meant` takes them, without volatile ones; contents go into `folder`.

    What it booted is given to `accept` before anything is fetched. Raises
    ImagebuilderError when not all of it came, UserError for what is no such node.
    """
    damage: ImagebuilderError | None = None
    entries: list[Entry] = []
    try:
        with output_of(node.command(tuple(handmade.volatile_patterns()))) as output:
            stream = _Ending(output)
            try:
                if stack := read_stack(output):
                    accept(stack)
                    entries = [*read_sockets(output), *upper_from_tar(stream, folder)]
            except UserError:
                raise
            except ImagebuilderError as error:
                damage = error  # how the command ends says more
            while stream.read(_CHUNK):
                pass
    except CommandError as error:
        raise _failed(node, error) from None
    if damage or not entries or stream.last != _END:
        reason = damage.message if damage else "its end is missing" if entries else "nothing came"
        raise ImagebuilderError(f"what {node} sent cannot be read: {reason}", hint="does its shell print at login?")
    return entries


class _Ending(io.BufferedIOBase, BinaryIO):
    """A stream of which the last bytes are remembered."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.last = b""

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = self._stream.read(-1 if size is None else size)
        self.last = (self.last + chunk)[-len(_END) :]
        return chunk


def booted_image(
    layout: Layout, node: Node, stack: Sequence[Booted], image: str | None
) -> tuple[str, tuple[Part, ...]]:
    """The image that a node booted, `image` if given, with its layers. Raises UserError when it is not here."""
    names = ", ".join(layer.name for layer in stack)
    if image:
        parts = root_parts(layout, image)
        if not _are([part.sha256 for part in parts], stack):
            raise UserError(f"{node} did not boot `{image}` as it is here, but {names}")
        return image, parts
    if unsaid := next((layer.name for layer in stack if not layer.sha256), None):
        raise UserError(
            f"{node} booted {unsaid} from a server that did not say its digest", hint="name the image: `--on IMAGE`"
        )
    index = read_index(layout)
    for name, blob in (*sorted(index.names.items()), *((old.name, old.manifest) for old in reversed(index.past))):
        layers = Manifest.from_bytes(layout.read(blob.sha256)).layers
        if _are([layer.blob.sha256 for layer in layers if layer.media_type in (BASE, *OVERLAYS.values())], stack):
            return name.partition(":")[0], root_parts(layout, f"sha256:{blob.sha256}")
    raise UserError(
        f"no image in the store {layout.root} has just the layers that {node} booted: {names}",
        hint="`--store` says where it was built, `imagebuilder pull` brings it",
    )


def _are(layers: Sequence[str], stack: Sequence[Booted]) -> bool:
    """Whether layers of these digests are what was booted, as far as the node knows."""
    pairs = zip(layers, stack, strict=False)
    return len(layers) == len(stack) and all(booted.sha256 in (None, sha256) for sha256, booted in pairs)


def read_stack(stream: IO[bytes]) -> tuple[Booted, ...]:
    """What the node booted, up to the empty line. Raises ImagebuilderError for other lines."""
    found = []
    while (line := stream.readline(_LINE_LIMIT)).strip():
        words = _LINE.fullmatch(line)
        if not words:
            raise ImagebuilderError(f"it begins with `{line.decode(errors='replace').strip()[:80]}`")
        sha256, name = words[1].decode(), words[2].decode(errors="replace")
        found.append(Booted(name, None if sha256 == "-" else sha256))
    return tuple(found)


def read_sockets(stream: IO[bytes]) -> list[Entry]:
    """The sockets that the next line names."""
    try:
        names = base64.b64decode(stream.readline(), validate=False).split(b"\0")[:-1]
    except binascii.Error as error:
        raise ImagebuilderError(f"its list of sockets is damaged: {error}") from None
    return [Entry(Member(name.removeprefix(b"./"), stat.S_IFSOCK | 0o600)) for name in names]


def _failed(node: Node, error: CommandError) -> ImagebuilderError:
    """Why the command failed, in words about the node; nothing has been written by then."""
    lines = error.detail.strip().splitlines()
    said = lines[-1] if lines else error.message
    if refusals := [line for line in lines if line.startswith(_REFUSED)]:
        return UserError(f"{node}: {refusals[-1].removeprefix(_REFUSED)}")
    if error.status == _UNREACHABLE:
        return ImagebuilderError(
            f"{node} cannot be reached by ssh, or went away meanwhile: {said}",
            hint=f"`{shlex.join((*node.ssh, f'{node.user}@{node.host}'))}` says more; nothing was written",
        )
    return ImagebuilderError(
        f"what was changed on {node} cannot be read: {'; '.join(_told(lines)) or error.message}",
        hint="stop what writes there, and capture again; nothing was written",
    )


def _told(lines: Sequence[str]) -> Iterator[str]:
    """The reasons, without what tar says of sockets and of itself."""
    for line in lines[-20:]:
        if not line.endswith("socket ignored") and "Exiting with failure status" not in line:
            yield line
