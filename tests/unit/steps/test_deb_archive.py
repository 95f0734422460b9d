"""A package is read whole, however it is compressed, and what is none is said to be none."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from debs import TIME, Member, folder, link, member, write_deb
from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import deb_archive
from imagebuilder.steps.deb_archive import ControlFile, open_data, read_control

LONG = "./usr/" + "long-" * 40
MEMBERS: list[Member] = [folder("./usr"), (member(LONG), b"content"), link("./usr/link", "x")]
CONTROL = {"postinst": "#!/bin/sh\n", "md5sums": ""}


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout


def _read(deb: Path) -> dict[str, bytes | None]:
    with open_data(deb) as tar:
        return {m.name: file.read() if (file := tar.extractfile(m) if m.isreg() else None) else None for m in tar}


@pytest.mark.parametrize(
    ("compress", "suffix"), [(bytes, ""), (gzip.compress, ".gz"), (lzma.compress, ".xz"), (_zstd, ".zst")]
)
@pytest.mark.parametrize("large", [0, 1 << 30])
def test_both_archives_are_read(
    tmp_path: Path, compress: Callable[[bytes], bytes], suffix: str, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deb_archive, "_LARGE", large)
    deb = write_deb(tmp_path / "p.deb", MEMBERS, CONTROL, compress, suffix)
    assert read_control(deb) == {
        "control": ControlFile(b"Package: p\nVersion: 1\nArchitecture: all\n", 0o644, TIME),
        "postinst": ControlFile(b"#!/bin/sh\n", 0o755, TIME),
        "md5sums": ControlFile(b"", 0o644, TIME),
    }
    assert _read(deb) == {".": None, "./usr": None, LONG: b"content", "./usr/link": None}


@pytest.mark.parametrize("large", [0, 1 << 30])
@pytest.mark.parametrize("cut", [1000, 300])
def test_damaged_package_is_an_error_that_names_it(
    tmp_path: Path, large: int, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deb_archive, "_LARGE", large)
    deb = write_deb(tmp_path / "p.deb", [(member("./noise"), os.urandom(4000))])
    deb.write_bytes(deb.read_bytes()[:-cut])
    with pytest.raises(ImagebuilderError, match=r"p\.deb is damaged"):
        _read(deb)


@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"PK\3\4" * 100])
def test_other_file_is_no_package(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.deb").write_bytes(content)
    with pytest.raises(ImagebuilderError, match=r"p\.deb is no Debian package: it has no control\.tar"):
        read_control(tmp_path / "p.deb")
