"""Small layers for tests, as entries and as artifacts of every format."""

from __future__ import annotations

import gzip
import io
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

from imagebuilder.steps import cpio, tar
from imagebuilder.steps.cpio import Member
from imagebuilder.steps.layer import Entry, whiteout

GONE = None
"""In place of a content: a whiteout."""


def stanza(name: str, version: str, **fields: str) -> str:
    """A stanza of dpkg's status."""
    given = {"Package": name, "Status": "install ok installed", "Architecture": "amd64", "Version": version}
    return "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in (given | fields).items()) + "\n"


def status(**versions: str) -> str:
    """A whole status file, of packages without relations."""
    return "".join(stanza(name.replace("_", "-"), version) for name, version in versions.items())


def layer(files: Mapping[str, str | None], links: Mapping[str, str] | None = None) -> list[Entry]:
    """Entries of files by their absolute paths (None is a whiteout) and of symlinks, with their folders."""
    found: dict[bytes, Entry] = {b".": Entry(Member(b".", stat.S_IFDIR | 0o755))}
    for path in (*files, *(links or {})):
        parts = path.strip("/").encode().split(b"/")
        for depth in range(1, len(parts)):
            folder = b"/".join(parts[:depth])
            found.setdefault(folder, Entry(Member(folder, stat.S_IFDIR | 0o755)))
    for path, text in files.items():
        name, data = path.strip("/").encode(), (text or "").encode()
        file = Entry(Member(name, stat.S_IFREG | 0o644, size=len(data)), data)
        found[name] = whiteout(name) if text is GONE else file
    for path, target in (links or {}).items():
        name = path.strip("/").encode()
        found[name] = Entry(Member(name, stat.S_IFLNK | 0o777, size=len(target)), target.encode())
    return cpio.number(found.values())


def write_overlay(path: Path, entries: list[Entry]) -> Path:
    """Write a `cpio.gz`."""
    archive = io.BytesIO()
    cpio.write(entries, archive)
    path.write_bytes(gzip.compress(archive.getvalue()))
    return path


def write_base(path: Path, entries: list[Entry]) -> Path:
    """Write a squashfs."""
    with (path.with_suffix(".tar")).open("wb") as stream:
        tar.write(entries, stream)
    with (path.with_suffix(".tar")).open("rb") as stream:
        subprocess.run(["tar2sqfs", "-q", "-f", str(path)], stdin=stream, check=True, capture_output=True)
    path.with_suffix(".tar").unlink()
    return path
