"""What ELF files say of themselves: made ones exactly, and this machine's own as other programs see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from elf_files import elf_program, kernel_module
from imagebuilder.errors import ImagebuilderError
from imagebuilder.steps import elf


def test_program_names_its_interpreter_libraries_and_folders() -> None:
    data = elf_program(["liba.so.1", "libb.so"], "/lib64/ld.so.2", "$ORIGIN/../lib:/opt/lib")
    assert elf.is_elf(data)
    assert elf.linkage(data) == elf.Linkage("/lib64/ld.so.2", ("liba.so.1", "libb.so"), ("$ORIGIN/../lib", "/opt/lib"))


def test_static_program_needs_nothing() -> None:
    assert elf.linkage(elf_program()) == elf.Linkage("", (), ())


def test_script_is_no_elf_file() -> None:
    assert not elf.is_elf(b"#!/bin/sh\n")


def test_this_machines_dpkg_is_read_as_its_own_loader_reads_it() -> None:
    linkage = elf.linkage(Path("/usr/bin/dpkg-deb").read_bytes())
    loader = {"LD_TRACE_LOADED_OBJECTS": "1", "PATH": "/usr/bin"}
    traced = subprocess.run(["/usr/bin/dpkg-deb"], env=loader, capture_output=True, text=True, check=True).stdout
    loaded = {line.split()[0] for line in traced.splitlines()}
    assert linkage.needed
    assert set(linkage.needed) <= loaded
    assert linkage.interpreter in loaded


def test_module_tells_its_facts_and_repeated_ones_in_order() -> None:
    data = kernel_module("name=nic", "depends=a,b", "firmware=x.bin", "firmware=y.bin", "alias=pci:v*=", "junk")
    assert elf.modinfo(data) == {
        "name": ("nic",), "depends": ("a,b",), "firmware": ("x.bin", "y.bin"), "alias": ("pci:v*=",)
    }  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"#!/bin/sh\n", elf_program(["liba.so"], "/ld.so")])
def test_what_is_no_module_is_refused(data: bytes) -> None:
    with pytest.raises(ImagebuilderError, match="no kernel module"):
        elf.modinfo(data)


def test_program_that_is_cut_is_refused() -> None:
    data = elf_program(["liba.so.1"], "/ld.so")
    for end in range(64, len(data) - 16, 7):  # the last entry only says that there are no more
        with pytest.raises(ImagebuilderError, match="damaged ELF"):
            elf.linkage(data[:end])
