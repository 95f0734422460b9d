"""What only root can unpack: devices, whiteouts, owners; every reader must agree with the tree that was packed."""

from __future__ import annotations

import io
import os
import stat
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from imagebuilder.steps import cpio

pytestmark = pytest.mark.root

EPOCH = 1_700_000_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "sub").mkdir(parents=True)
    os.mknod(root / "whiteout", stat.S_IFCHR, os.makedev(0, 0))
    os.link(root / "whiteout", root / "whiteout-too")  # the kernel makes many whiteouts one inode
    os.mknod(root / "disk", stat.S_IFBLK | 0o660, os.makedev(259, 1_000_000))
    (root / "program").write_text("x")
    os.chown(root / "program", 4_000_000_000, 70_000)
    (root / "program").chmod(0o6755)
    os.chown(root / "sub", 65_534, 1)
    (root / "sub").chmod(0o1777)
    return root


@pytest.mark.parametrize(
    "tool", [("cpio", "-idm", "--quiet"), ("bsdcpio", "-idm", "--quiet"), ("busybox", "cpio", "-idm")]
)
def test_devices_whiteouts_owners_and_modes_arrive(tree: Path, tmp_path: Path, tool: tuple[str, ...]) -> None:
    archive = io.BytesIO()
    cpio.write(cpio.scan(tree, clamp=EPOCH), archive)
    target = tmp_path / "out"
    target.mkdir()
    subprocess.run(tool, input=archive.getvalue(), cwd=target, check=True, capture_output=True)
    assert _facts(target) == _facts(tree)
    assert (target / "whiteout-too").lstat().st_rdev == 0


def _facts(root: Path) -> list[cpio.Member]:
    return [replace(s.member, mtime=0) for s in cpio.scan(root, clamp=EPOCH) if s.member.name != b"."]
