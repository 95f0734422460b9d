"""Unified kernel images: what binutils and sbsign take them for."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from certificates import make_certificates
from imagebuilder.boot.uki import STUB, SigningPair, unified, write_uki
from imagebuilder.cli.main import main
from imagebuilder.digest import of_bytes
from imagebuilder.errors import CommandError, ImagebuilderError
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import BASE, INITRD, KERNEL, Layer, Manifest

PARTS = {".cmdline": b"quiet x=1", ".initrd": b"initrd" * 1000, ".linux": b"MZ" + bytes(range(256)) * 100}
FILES = {"vmlinuz-6.1": b"MZkernel", "initrd.img-6.1": b"initrd", "base.bookworm.6.1.squashfs.img": b"base"}


@pytest.fixture
def pair(tmp_path: Path) -> SigningPair:
    folder = make_certificates(tmp_path / "keys")
    return SigningPair(folder / "server.key", folder / "server.crt")


def _section(file: Path, name: str) -> bytes:
    target = file.with_suffix(name)
    dumped = ["objcopy", "--dump-section", f"{name}={target}", str(file), str(file.with_suffix(".copy"))]
    subprocess.run(dumped, check=True, capture_output=True)
    return target.read_bytes()


def test_sections_are_read_again_by_binutils(tmp_path: Path) -> None:
    file = tmp_path / "x.efi"
    file.write_bytes(unified(STUB.read_bytes(), PARTS))
    for name, data in PARTS.items():
        found = _section(file, name)
        assert (found[: len(data)], found[len(data) :].strip(b"\0")) == (data, b"")


def test_sections_do_not_overlap_and_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    image = unified(STUB.read_bytes(), PARTS)
    assert image == unified(STUB.read_bytes(), PARTS)
    (tmp_path / "x.efi").write_bytes(image)
    listed = subprocess.run(["objdump", "-h", tmp_path / "x.efi"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines() if line.strip()[:1].isdigit()]
    spans = sorted((int(row[3], 16), int(row[3], 16) + int(row[2], 16)) for row in rows)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert [row[1] for row in rows][-3:] == list(PARTS)


@pytest.mark.parametrize(
    ("stub", "parts", "said"),
    [(b"\x7fELF", PARTS, "no PE file"), (STUB.read_bytes(), {f".s{n}": b"x" for n in range(99)}, "has no room")],
    ids=["elf", "full"],
)
def test_stub_that_cannot_be_used_is_refused(stub: bytes, parts: dict[str, bytes], said: str) -> None:
    with pytest.raises(ImagebuilderError, match=said):
        unified(stub, parts)


def _artifacts(folder: Path) -> None:
    folder.mkdir()
    layers = []
    for (name, data), kind in zip(FILES.items(), (KERNEL, INITRD, BASE), strict=True):
        (folder / name).write_bytes(data)
        layers.append(Layer(kind, name, Blob(of_bytes(data), len(data))))
    (folder / "base.manifest.json").write_bytes(Manifest(tuple(layers), "2026-01-01T00:00:00Z").to_bytes())


def test_verb_packs_what_boots_together_and_signs_it(
    tmp_path: Path, pair: SigningPair, capsys: pytest.CaptureFixture[str]
) -> None:
    _artifacts(tmp_path / "builds")
    output = tmp_path / "base.efi"
    argv = ["uki", "--builds", tmp_path / "builds", "--key", pair.key, "--cert", pair.certificate]
    argv += ["--arguments", "API_CB=h:1", "--output", output]
    assert main(list(map(str, argv))) == 0
    assert capsys.readouterr().out == f"{of_bytes(output.read_bytes())}  {output}\n"
    subprocess.run(["sbverify", "--cert", pair.certificate, output], check=True, capture_output=True)
    assert _section(output, ".cmdline").rstrip(b"\0") == b"MANIFEST=/base.manifest.json API_CB=h:1"
    assert _section(output, ".initrd").rstrip(b"\0") == b"initrd"
    assert sorted(path.name for path in tmp_path.glob(".*")) == []


def test_image_without_a_manifest_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _artifacts(tmp_path / "builds")
    (tmp_path / "builds/base.manifest.json").unlink()
    argv = ["uki", "--builds", tmp_path / "builds", "--key", "k", "--cert", "c", "--output", tmp_path / "x"]
    assert main(list(map(str, argv))) == 2
    assert "has no signed manifest of these artifacts" in capsys.readouterr().err


def test_key_that_does_not_sign_leaves_nothing_behind(tmp_path: Path, pair: SigningPair) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(b"MZ")
    with pytest.raises(CommandError, match="sbsign"):
        write_uki(kernel, kernel, "", SigningPair(pair.certificate, pair.certificate), tmp_path / "x.efi")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernel", "keys"]
