"""An initrd packed from layers, on real mounts: the same bytes twice, and what a role adds is in it."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from elf_files import kernel_module
from imagebuilder.host.local import AptFiles, LocalMachine
from imagebuilder.steps import cpio
from imagebuilder.steps.initramfs import PackInitramfs
from imagebuilder.steps.kernel import MODULES

pytestmark = pytest.mark.root

RELEASE = "6.1.0-1-amd64"
EPOCH = 1_700_000_000
FOLDER = f"{MODULES}/{RELEASE}"


def _put(root: Path, name: str, content: bytes = b"") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)


@pytest.fixture
def layers(tmp_path: Path) -> dict[str, tuple[Path, ...]]:
    """A kernel, and as layers: modules, programs, and what a role changed."""
    built, modules, programs, role = (tmp_path / name for name in ("kernel", "modules", "programs", "role"))
    _put(built, f"boot/System.map-{RELEASE}")
    _put(built, f"boot/config-{RELEASE}", b"CONFIG_RD_ZSTD=y\n")
    for name, needs in {"loop": "helper", "helper": "", "squashfs": "", "nic": ""}.items():
        _put(modules, f"{FOLDER}/kernel/{name}.ko", kernel_module(f"name={name}", f"depends={needs}", "alias=pci:x"))
    for name in ("order", "builtin", "builtin.modinfo"):
        _put(modules, f"{FOLDER}/modules.{name}")
    _put(modules, "usr/lib/firmware/nic.fw", b"firmware")
    _put(programs, "init", b"#!/bin/sh\n")
    _put(programs, ".copyright/busybox/copyright", b"a licence")
    _put(programs, "usr/bin/busybox", b"busybox")
    _put(role, f"{FOLDER}/updates/vendor.ko", kernel_module("name=vendor", "alias=pci:y"))
    _put(role, "etc/modprobe.d/site.conf", b"options nic x=1\n")
    return {"kernel": (built,), "lower": (modules, programs, role)}


def _pack(folder: Path, layers: dict[str, tuple[Path, ...]], name: str = "initrd") -> Path:
    machine = LocalMachine("x", folder / f"scratch-{name}", AptFiles(folder, folder, {}), {}, lambda _: None)
    PackInitramfs(RELEASE, "zstd", EPOCH).run(machine, layers, folder / name)
    return folder / name


def _members(initrd: Path, decompressor: str = "zstd") -> dict[str, bytes]:
    archive = subprocess.run([decompressor, "-dc"], input=initrd.read_bytes(), capture_output=True, check=True).stdout
    return {os.fsdecode(member.name): content.read() for member, content in cpio.read(io.BytesIO(archive))}


def test_modules_are_one_file_and_only_what_mounts_it_lies_beside(
    tmp_path: Path, layers: dict[str, tuple[Path, ...]]
) -> None:
    members = _members(_pack(tmp_path, layers))
    assert members["usr/lib/modules"] == b"/layers/modules/usr/lib/modules"
    assert members["usr/lib/firmware"] == b"/layers/modules/usr/lib/firmware"
    assert members["early/order"].split() == [b"helper.ko", b"loop.ko", b"squashfs.ko"]
    assert members["early/loop.ko"] == kernel_module("name=loop", "depends=helper", "alias=pci:x")
    assert {"init", "usr/bin/busybox", "etc/modprobe.d/site.conf"} <= members.keys()
    left_out = ("usr/lib/modules/", "usr/lib/firmware/", ".copyright")
    assert not [name for name in members if name.startswith(left_out)]


def test_module_that_a_role_adds_is_known_to_modprobe(tmp_path: Path, layers: dict[str, tuple[Path, ...]]) -> None:
    image = tmp_path / "modules.squashfs"
    image.write_bytes(_members(_pack(tmp_path, layers))["modules.squashfs"])
    subprocess.run(["unsquashfs", "-q", "-n", "-d", tmp_path / "out", image], check=True, capture_output=True)
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {"usr/lib/firmware/nic.fw", f"{FOLDER}/updates/vendor.ko", f"{FOLDER}/modules.dep.bin"} <= files
    assert all(name.startswith(("usr/lib/modules/", "usr/lib/firmware/")) for name in files)
    assert "updates/vendor.ko:" in (tmp_path / "out" / FOLDER / "modules.dep").read_text().splitlines()


def test_same_layers_give_the_same_bytes_at_another_time(tmp_path: Path, layers: dict[str, tuple[Path, ...]]) -> None:
    first = _pack(tmp_path, layers, "first").read_bytes()
    for layer in layers["lower"]:
        for path in layer.rglob("*"):
            os.utime(path, (EPOCH + 5000, EPOCH + 5000), follow_symlinks=False)
    assert _pack(tmp_path, layers, "second").read_bytes() == first


def test_kernel_that_cannot_unpack_zstd_gets_gzip(tmp_path: Path, layers: dict[str, tuple[Path, ...]]) -> None:
    _put(layers["kernel"][0], f"boot/config-{RELEASE}", b"# CONFIG_RD_ZSTD is not set\nCONFIG_RD_GZIP=y\n")
    assert "init" in _members(_pack(tmp_path, layers), "gzip")
