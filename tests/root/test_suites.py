"""A tree for another suite: one variable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builds import artifacts, default_site, initrd_modules, write_tree

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(900)]

PLAYBOOK = """\
- import_playbook: common/initrd_wrapper.yml
  vars: {config_file: vars/initrd_virt.yml}
- import_playbook: common/basefs_wrapper.yml
  vars: {config_file: vars/base.yml}
- import_playbook: common/overlay_wrapper.yml
  vars: {config_file: vars/small.yml}
"""


def test_trixie_makes_an_initrd_a_base_and_an_overlay(tmp_path: Path, package_cache: Path) -> None:
    site = default_site(tmp_path, package_cache)
    write_tree(site.tree, {"some.yml": PLAYBOOK, "vars/small.yml": "image: {packages: [lsscsi]}\n"})
    site.build("some.yml", "-e", "debootstrap_release=trixie")
    names = artifacts(site.builds)
    (base,) = (name for name in names if name.startswith("base.trixie.6.12."))
    (vmlinuz,) = (name for name in names if name.startswith("vmlinuz-6.12."))
    release = vmlinuz.removeprefix("vmlinuz-")
    assert set(names) == {base, vmlinuz, f"initrd.img-{release}", "small.overlay.cpio.gz"}
    assert "VERSION_CODENAME=trixie\n" in _output("unsquashfs", "-cat", site.builds / base, "usr/lib/os-release")
    assert "usr/bin/lsscsi\n" in _output("bsdtar", "-tf", site.builds / "small.overlay.cpio.gz")
    modules = initrd_modules(site.builds / f"initrd.img-{release}", tmp_path)
    assert (modules / f"modules/{release}/modules.dep").is_file()


def _output(*argv: str | Path) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout
