"""Accounts get their ids, and their files with them, as they were."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from imagebuilder.steps.accounts import Accounts, renumber, stable_ids

pytestmark = pytest.mark.root

CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # cap_net_raw+ep, linux/capability.h


def test_files_of_new_accounts_go_with_them_and_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    before = Accounts.of(tmp_path)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/:\n_x:x:101:103:X:/:\n_y:x:102:0::/:\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n_x:x:103:_y\n")
    ids = stable_ids(before, Accounts.of(tmp_path))
    for name, owner, group, mode in (("tool", 0, 103, 0o2755), ("log", 101, 102, 0o4640), ("kept", 0, 0, 0o600)):
        (tmp_path / name).write_text(name)
        os.chown(tmp_path / name, owner, group)
        (tmp_path / name).chmod(mode)
    os.setxattr(tmp_path / "tool", "security.capability", CAPABILITY)
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.lchown(tmp_path / "link", 102, 0)

    renumber(tmp_path, before)

    x, y = ids["_x"], ids["_y"]
    assert (tmp_path / "etc/passwd").read_text() == f"root:x:0:0::/:\n_x:x:{x}:{x}:X:/:\n_y:x:{y}:0::/:\n"
    assert (tmp_path / "etc/group").read_text() == f"root:x:0:\n_x:x:{x}:_y\n"
    found = {path.name: path.lstat() for path in tmp_path.iterdir()}
    owners = {name: (status.st_uid, status.st_gid) for name, status in found.items()}
    assert owners == {"etc": (0, 0), "tool": (0, x), "log": (x, 102), "kept": (0, 0), "link": (y, 0)}
    assert [found[name].st_mode & 0o7777 for name in ("tool", "log", "kept")] == [0o2755, 0o4640, 0o600]
    assert os.getxattr(tmp_path / "tool", "security.capability") == CAPABILITY
    assert Path("/etc/passwd").stat().st_uid == 0
