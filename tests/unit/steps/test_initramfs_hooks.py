"""Hooks of initramfs-tools: what they may call, and what comes of what they leave behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import imagebuilder.steps
from elf_files import kernel_module
from imagebuilder.steps.initramfs_hooks import HookedPrograms
from machine import PlainMachine

TOOLS = Path(imagebuilder.steps.__file__).parent / "initramfs-tools"
RELEASE = "6.1"


def _hook(folder: Path, script: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run a hook's commands; returns how it ended and what it asked for."""
    wanted = folder / "wanted"
    done = subprocess.run(
        ["sh", "-ec", f". {TOOLS}/hook-functions\n{script}"],
        env={"PATH": "/usr/bin:/bin", "DESTDIR": str(folder / "dest"), "IMAGEBUILDER_WANTED": str(wanted)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, wanted.read_text().splitlines() if wanted.exists() else []


def test_programs_and_modules_are_asked_for(tmp_path: Path) -> None:
    done, wanted = _hook(
        tmp_path, "copy_exec /bin/sh /sbin\nmanual_add_modules a b\nforce_load c\nauto_add_modules net"
    )
    assert done.returncode == 0, done.stderr
    assert wanted == ["program /bin/sh", "module a", "module b", "module c"]


def test_program_that_is_not_there_ends_the_hook_with_its_name(tmp_path: Path) -> None:
    done, wanted = _hook(tmp_path, "copy_exec /usr/bin/no-such-thing /bin; echo went on")
    assert (done.returncode, done.stdout, wanted) == (1, "", [])
    assert "there is no program `/usr/bin/no-such-thing` in the build root" in done.stderr


@pytest.mark.parametrize(("target", "place"), [("", "{0}"), ("/etc/y", "/etc/y"), ("/etc/", "/etc/x")])
def test_files_are_copied_to_where_the_hook_says(tmp_path: Path, target: str, place: str) -> None:
    (tmp_path / "x").write_text("content")
    done, _ = _hook(tmp_path, f"copy_file config {tmp_path}/x {target}")
    assert done.returncode == 0, done.stderr
    assert Path(f"{tmp_path}/dest{place.format(tmp_path / 'x')}").read_text() == "content"


def test_listed_modules_come_along_and_unknown_ones_are_told(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    folder = kernel / "usr/lib/modules" / RELEASE
    for name, depends in (("overlay", ""), ("dm-mod", "dax"), ("dax", ""), ("other", "")):
        path = folder / f"kernel/{name}.ko"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(kernel_module(f"depends={depends}"))
    (folder / "modules.builtin").write_text("kernel/fs/ext4.ko\n")
    output = tmp_path / "output"
    output.mkdir()
    machine = PlainMachine(tmp_path)
    step = HookedPrograms(RELEASE)
    step.add_modules(machine, ["overlayfs", "dm_mod", "ext4", "gone"], folder, output)
    assert sorted(path.name for path in output.rglob("*.ko")) == ["dax.ko", "dm-mod.ko", "overlay.ko"]
    assert machine.notes == ["the kernel has no modules `gone`"]
