"""Packages of our own for tests, with members that dpkg-deb would not pack from a plain folder."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

TIME = 1_600_000_000


def member(name: str, kind: bytes = tarfile.REGTYPE, mode: int = 0o644, **more: Any) -> tarfile.TarInfo:
    """A member of data.tar: `more` are attributes of its TarInfo."""
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.mtime = kind, mode, TIME
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info


def folder(name: str, mode: int = 0o755, **more: Any) -> tarfile.TarInfo:
    """A folder."""
    return member(name, tarfile.DIRTYPE, mode, **more)


def link(name: str, target: str, *, hard: bool = False) -> tarfile.TarInfo:
    """A symbolic or a hard link."""
    kind, mode = (tarfile.LNKTYPE, 0o644) if hard else (tarfile.SYMTYPE, 0o777)
    return member(name, kind, mode, linkname=target)


Member = tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]


def write_deb(
    path: Path,
    members: Iterable[Member],
    control: Mapping[str, str] | None = None,
    compress: Callable[[bytes], bytes] = lzma.compress,
    suffix: str = ".xz",
) -> Path:
    """A package file: deb(5). The files of `control` that begin with `#!` are scripts."""
    texts = {"control": "Package: p\nVersion: 1\nArchitecture: all\n", **(control or {})}
    scripts = [
        (member(f"./{name}", mode=0o755 if text.startswith("#!") else 0o644), text.encode())
        for name, text in texts.items()
    ]
    parts = {
        "debian-binary": b"2.0\n",
        f"control.tar{suffix}": compress(_tar([folder("./"), *scripts])),
        f"data.tar{suffix}": compress(_tar([folder("./"), *members])),
    }
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in parts.items():
            file.write(f"{name:<16}{TIME:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode())
            file.write(data + b"\n" * (len(data) % 2))
    return path


def _tar(members: Iterable[Member]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for given in members:
            info, content = given if isinstance(given, tuple) else (given, b"")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()
