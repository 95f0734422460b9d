"""Hash trees, as veritysetup takes them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from imagebuilder.host.machine import Machine
from imagebuilder.steps.contents import read_notes
from imagebuilder.steps.verity import AppendHashTree, NoteRootHash


def _made(folder: Path, content: bytes) -> tuple[Path, str, str]:
    """The file with its tree, the number of blocks, the root hash."""
    machine: Machine = None  # type: ignore[assignment]
    (folder / "packed").write_bytes(content)
    AppendHashTree().run(machine, {"packed": (folder / "packed",), "lower": ()}, folder / "made")
    NoteRootHash().run(machine, {"packed": (folder / "packed",)}, folder / "note")
    (note,) = read_notes((folder / "note").read_text())
    assert note[0] == "on-imagebuilder.verity"
    blocks, root = note[1].split(" ")
    return folder / "made", blocks, root


def _is_right(made: Path, blocks: str, root: str) -> bool:
    argv = ["/usr/sbin/veritysetup", "verify", str(made), str(made), root, "--no-superblock", "--salt", "-"]
    place = ["--data-blocks", blocks, "--hash-offset", str(int(blocks) * 4096), "--hash", "sha256"]
    return subprocess.run([*argv, *place], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("size", [4096, 5000, 128 * 4096, 129 * 4096, 129 * 128 * 4096], ids=str)
def test_tree_is_what_veritysetup_takes(tmp_path: Path, size: int) -> None:
    made, blocks, root = _made(tmp_path, os.urandom(5000)[:size].ljust(size, b"x"))
    assert int(blocks) == -(-size // 4096)
    assert _is_right(made, blocks, root)


def test_other_block_is_not_taken(tmp_path: Path) -> None:
    made, blocks, root = _made(tmp_path, bytes(200 * 4096))
    with made.open("r+b") as file:
        file.seek(150 * 4096)
        file.write(b"x")
    assert not _is_right(made, blocks, root)


def test_file_itself_stays_in_front(tmp_path: Path) -> None:
    made, _, _ = _made(tmp_path, b"x" * 5000)
    assert made.read_bytes()[:5000] == b"x" * 5000
    assert made.stat().st_size == 2 * 4096 + 4096
