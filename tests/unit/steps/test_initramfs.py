"""The initrd's tree and how it is packed, with a busybox of our own making."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from elf_files import elf_program
from imagebuilder.errors import ImagebuilderError
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps import initramfs
from imagebuilder.steps.base import Source
from imagebuilder.steps.initramfs import InitramfsTree, Trust
from machine import PlainMachine
from mirror import make_package

NODE = Path(initramfs.__file__).parents[1] / "node" / "initrd"
APPLETS = (NODE / "usr/lib/imagebuilder/applets").read_text().split()


@pytest.fixture
def userland(tmp_path: Path) -> tuple[Deb, ...]:
    """A static busybox that has the applets that /init wants (their names stand in it), and a tool."""
    busybox = elf_program() + b"\0" + b"".join(name.encode() + b"\0" for name in APPLETS)
    files = {"bin/busybox": busybox, "usr/sbin/tool": elf_program()}
    package = make_package(tmp_path, "busybox-static", "1", files=files)
    (tmp_path / "archives").mkdir()
    package.file.rename(tmp_path / "archives" / package.file.name)
    return (Deb("busybox-static", "1", "amd64", 0, ""),)


def _tree(tmp_path: Path, userland: tuple[Deb, ...], *programs: str, node: Path = NODE) -> Path:
    output = tmp_path / "tree"
    output.mkdir()
    InitramfsTree(Source.of(node), userland, programs).run(PlainMachine(tmp_path), {}, output)
    return output


def test_tree_holds_our_part_busybox_and_the_programs(tmp_path: Path, userland: tuple[Deb, ...]) -> None:
    tree = _tree(tmp_path, userland, "tool")
    assert (tree / "init").read_bytes() == (NODE / "init").read_bytes()
    assert (tree / "sbin/tool").is_file()
    assert {name for name in APPLETS if (tree / "bin" / name).readlink() == Path("busybox")} == set(APPLETS)
    assert (tree / "sbin/modprobe").resolve() == tree / "usr/bin/busybox"
    assert all((tree / name).is_dir() for name in ("dev", "proc", "sys", "run", "layers", "newroot", "jail"))


def test_modes_depend_on_nothing_but_what_a_file_is(tmp_path: Path, userland: tuple[Deb, ...]) -> None:
    node = tmp_path / "node"
    shutil.copytree(NODE, node)
    (node / "init").chmod(0o600)
    (node / "etc/passwd").chmod(0o777)
    tree = _tree(tmp_path, userland, node=node)
    modes = {stat.S_IMODE((tree / name).stat().st_mode) for name in ("init", "usr/bin/busybox")}
    assert modes == {0o755}
    assert stat.S_IMODE((tree / "etc/passwd").stat().st_mode) == 0o644


def test_busybox_without_an_applet_that_init_calls_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImagebuilderError, match="this busybox lacks `udhcpc`, `wget`"):
        initramfs.link_applets(tmp_path, ["sh", "udhcpc", "wget"], b"\0ash\0sh\0switch_root\0")


def test_program_of_a_package_is_not_hidden_by_an_applet(tmp_path: Path) -> None:
    for folder in ("usr/bin", "usr/sbin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/sbin/ip").write_text("iproute2's")
    initramfs.link_applets(tmp_path, ["ip", "modprobe"], b"\0ip\0modprobe\0")
    assert not (tmp_path / "usr/bin/ip").exists()
    assert (tmp_path / "usr/bin/modprobe").is_symlink()


@pytest.mark.parametrize("zstd", [True, False])
def test_compressed_archive_is_the_same_every_time_and_unpacks_to_what_it_was(tmp_path: Path, zstd: bool) -> None:
    outputs = []
    for number in range(2):
        source = tmp_path / f"archive-{number}"
        source.write_bytes(b"content" * 10_000)
        os.utime(source, (number, number))
        outputs.append(tmp_path / f"packed-{number}")
        initramfs.compress(PlainMachine(tmp_path), source, outputs[-1], zstd=zstd)
    first, second = (output.read_bytes() for output in outputs)
    assert first == second
    argv = ["zstd", "-dc"] if zstd else ["gzip", "-dc"]
    assert subprocess.run(argv, input=first, capture_output=True, check=True).stdout == b"content" * 10_000


def test_trusted_keys_are_part_of_it(tmp_path: Path, userland: tuple[Deb, ...]) -> None:
    output = tmp_path / "tree"
    output.mkdir()
    step = InitramfsTree(Source.of(NODE), userland, ("tool",), Trust(("RWa", "RWb"), 1700000000))
    step.run(PlainMachine(tmp_path), {}, output)
    assert (output / "etc/imagebuilder/keys").read_text() == "RWa\nRWb\n"
    assert (output / "etc/imagebuilder/since").read_text() == "1700000000\n"


def test_authorities_are_part_of_it(tmp_path: Path, userland: tuple[Deb, ...]) -> None:
    output = tmp_path / "tree"
    output.mkdir()
    InitramfsTree(Source.of(NODE), userland, (), authorities="PEM\n").run(PlainMachine(tmp_path), {}, output)
    assert (output / "etc/imagebuilder/ca.pem").read_text() == "PEM\n"
