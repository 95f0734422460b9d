"""The kernel's own unpacker reads our archives as we meant them."""

from __future__ import annotations

import io
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuilder.steps import cpio
from imagebuilder.steps.cpio import Member, Source
from initrd_shell import make_root

pytestmark = pytest.mark.boot

EPOCH = 1_700_000_000
_LIST = Path(__file__).with_name("list-tree.sh")
_LINE = "%n|%f|%u:%g|%Y|%h|%s|%t:%T"
_FOLDER_LINE = "%n|%f|%u:%g|%Y"


def _fill(tree: Path) -> None:
    (tree / "folder/deep").mkdir(parents=True)
    (tree / "folder/deep/empty").touch()
    (tree / "folder/data").write_bytes(bytes(range(256)) * 300)
    (tree / os.fsdecode(b"not \xff utf-8")).write_text("x")
    (tree / ("n" * 200)).write_text("long name")
    (tree / "a-link").symlink_to("folder/data")
    os.link(tree / "folder/data", tree / "a-hard-link")
    os.link(tree / "folder/data", tree / "z-hard-link")
    os.mkfifo(tree / "pipe")
    os.mknod(tree / "whiteout", stat.S_IFCHR, os.makedev(0, 0))
    os.mknod(tree / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 1_000_000))
    os.chown(tree / "folder/deep/empty", 4_000_000_000, 70_000)
    os.chown(tree / "a-link", 5, 6, follow_symlinks=False)
    (tree / "folder/deep/empty").chmod(0o6755)
    (tree / "folder/deep").chmod(0o1777)
    for path in tree.rglob("*"):
        os.utime(path, (EPOCH - 99, EPOCH - 99), follow_symlinks=False)


def _listed(tree: Path) -> list[str]:
    """What list-tree.sh says of a tree."""
    paths = list(tree.rglob("*"))
    folders = [path for path in paths if path.is_dir() and not path.is_symlink()]
    others = [path for path in paths if path not in folders]
    said = b""
    for argv, about in (
        (("stat", "-c", _FOLDER_LINE), folders),
        (("stat", "-c", _LINE), others),
        (("md5sum",), [path for path in others if path.is_file()]),
    ):
        names = [b"./" + os.fsencode(path.relative_to(tree)) for path in about]
        said += subprocess.run([*argv, "--", *names], cwd=tree, capture_output=True, check=True).stdout
    return sorted(said.decode(errors="replace").splitlines())


def _initramfs(folder: Path, tree: Path) -> bytes:
    """busybox and a script that lists /tree; then, as a second archive, /tree."""
    make_root(folder)
    init = _LIST.read_bytes()
    console = Source(Member(b"dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    script = Source(Member(b"init", stat.S_IFREG | 0o755, size=len(init)), init)
    archive = io.BytesIO()
    cpio.write(cpio.number([*cpio.scan(folder, clamp=EPOCH), console, script]), archive)
    moved = [
        replace(s, member=replace(s.member, name=os.path.normpath(b"tree/" + s.member.name)))
        for s in cpio.scan(tree, clamp=EPOCH)
    ]
    cpio.write(moved, archive)
    return archive.getvalue()


def test_kernel_unpacks_every_kind_of_member(built_images: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    _fill(tree)
    (tmp_path / "initramfs").write_bytes(_initramfs(tmp_path / "root", tree))
    (kernel,) = built_images.glob("vmlinuz-*-cloud-*")
    argv: list[str | Path] = [
        *("qemu-system-x86_64", "-machine", "q35,hpet=off", "-accel", "tcg", "-cpu", "max", "-m", "384"),
        *("-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio"),
        *("-kernel", kernel, "-initrd", tmp_path / "initramfs", "-append", "console=ttyS0 quiet panic=-1"),
    ]
    said = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=240, check=True).stdout
    text = said.decode(errors="replace").replace("\r\n", "\n")
    _, begin, rest = text.partition("BEGIN\n")
    assert begin, text
    assert sorted(rest.partition("END\n")[0].splitlines()) == _listed(tree)
