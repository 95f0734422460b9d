"""What a base is asked for and cannot be made of directly, mmdebstrap makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from debs import write_deb
from imagebuilder.host.machine import Machine
from imagebuilder.resolve.deb import Deb
from imagebuilder.steps.base import Inputs
from imagebuilder.steps.bootstrap import Bootstrap
from imagebuilder.steps.mmdebstrap import Mmdebstrap
from imagebuilder.steps.rootfs import Rootfs
from machine import PlainMachine


def test_package_that_may_take_anothers_files_is_left_to_mmdebstrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: Mmdebstrap, machine: Machine, inputs: Inputs, output: Path) -> None:
        (output / "made").write_text(self.rootfs.suite)

    monkeypatch.setattr(Mmdebstrap, "run", run)
    (tmp_path / "archives").mkdir()
    debs = tuple(Deb(name, "1", "amd64", 0, "") for name in ("a", "b"))
    for deb, more in zip(debs, ("Replaces: b\n", ""), strict=True):
        control = f"Package: {deb.name}\nVersion: 1\nArchitecture: amd64\n{more}"
        write_deb(tmp_path / "archives" / deb.file_name, [], {"control": control})
    (tmp_path / "root").mkdir()
    machine = PlainMachine(tmp_path)
    Bootstrap(Rootfs("bookworm", "amd64", (), debs, (), (), 0)).run(machine, {}, tmp_path / "root")
    assert (tmp_path / "root/made").read_text() == "bookworm"
    assert machine.notes == ["mmdebstrap makes this base: `a` may take files of b"]


def test_includes_come_after_the_excludes_that_they_pierce() -> None:
    rootfs = Rootfs("bookworm", "amd64", (), (), ("!/usr/share/doc/*/copyright", "/usr/share/doc/*"), (), 0)
    assert rootfs.dpkg_options == ["path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright"]
