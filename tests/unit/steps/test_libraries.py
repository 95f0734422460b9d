"""Programs bring their libraries along, looked up in the root that they come from and nowhere else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from elf_files import elf_program
from imagebuilder.errors import UserError
from imagebuilder.steps import libraries

LD = "/lib64/ld-linux-x86-64.so.2"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As packages unpack: /usr not merged, absolute links."""
    _put(tmp_path, "bin/tool", elf_program(["liba.so.1"], LD))
    _put(tmp_path, "usr/lib/x86_64-linux-gnu/liba.so.1.2", elf_program(["libc.so.6"]))
    (tmp_path / "usr/lib/x86_64-linux-gnu/liba.so.1").symlink_to("liba.so.1.2")
    _put(tmp_path, "lib/x86_64-linux-gnu/libc.so.6", elf_program(["ld-linux-x86-64.so.2"]))
    _put(tmp_path, "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", elf_program())
    (tmp_path / "lib64").mkdir()
    (tmp_path / "lib64/ld-linux-x86-64.so.2").symlink_to("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    return tmp_path


def _put(root: Path, name: str, data: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)


def _closure(root: Path, *programs: str) -> dict[str, str]:
    found = libraries.closure(root, programs)
    return {str(place): str(file.relative_to(root)) for place, file in found.items()}


def test_libraries_of_libraries_come_along_into_a_merged_usr(root: Path) -> None:
    assert _closure(root, "tool") == {
        "usr/bin/tool": "bin/tool",
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "usr/lib/x86_64-linux-gnu/liba.so.1": "usr/lib/x86_64-linux-gnu/liba.so.1.2",
        "usr/lib/x86_64-linux-gnu/libc.so.6": "lib/x86_64-linux-gnu/libc.so.6",
        "usr/lib64/ld-linux-x86-64.so.2": "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    }


def test_program_may_be_named_by_its_path(root: Path) -> None:
    assert _closure(root, "/bin/tool") == _closure(root, "tool")


def test_script_brings_nothing(root: Path) -> None:
    _put(root, "usr/sbin/script", b"#!/bin/sh\n")
    assert _closure(root, "script") == {"usr/sbin/script": "usr/sbin/script"}


def test_folders_that_a_program_names_come_first(root: Path) -> None:
    _put(root, "opt/vendor/bin/raid", elf_program(["liba.so.1"], LD, "$ORIGIN/../lib:/opt/other"))
    _put(root, "opt/vendor/lib/liba.so.1", elf_program())
    assert _closure(root, "/opt/vendor/bin/raid")["opt/vendor/lib/liba.so.1"] == "opt/vendor/lib/liba.so.1"
    assert "usr/lib/x86_64-linux-gnu/liba.so.1" not in _closure(root, "/opt/vendor/bin/raid")


def test_text_in_the_place_of_a_library_is_passed_over(root: Path) -> None:
    _put(root, "lib/x86_64-linux-gnu/liba.so.1", b"/* GNU ld script */")
    assert _closure(root, "tool")["usr/lib/x86_64-linux-gnu/liba.so.1"] == "usr/lib/x86_64-linux-gnu/liba.so.1.2"


def test_link_never_leads_out_of_the_root(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_bytes(elf_program())
    (root / "bin/evil").symlink_to(outside)
    (root / "bin/dots").symlink_to(f"../../../../../../../../..{outside}")
    (root / "bin/loop").symlink_to("loop")
    for name in ("evil", "dots", "loop"):
        with pytest.raises(UserError, match=f"no program `{name}`"):
            libraries.closure(root, [name])


def test_unknown_program_says_where_programs_come_from(root: Path) -> None:
    with pytest.raises(UserError, match="no program `ipmitool` to put into the initrd") as caught:
        libraries.closure(root, ["ipmitool"])
    assert "include_packages" in (caught.value.hint or "")


def test_missing_library_is_named_with_who_needs_it(root: Path) -> None:
    (root / "lib/x86_64-linux-gnu/libc.so.6").unlink()
    with pytest.raises(UserError, match=r"`/usr/lib/x86_64-linux-gnu/liba.so.1` needs the library `libc.so.6`"):
        libraries.closure(root, ["tool"])


def test_this_machines_programs_get_what_its_own_loader_would_load() -> None:
    for program in ("/usr/bin/zstd", "/usr/bin/mksquashfs"):
        lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines()
        loaded = {Path(word).resolve() for line in lines for word in line.split() if word.startswith("/")}
        ours = {file.resolve() for file in libraries.closure(Path("/"), [program]).values()}
        assert ours == {*loaded, Path(program).resolve()}


def test_loader_is_found_where_packages_have_it_below_usr_only(tmp_path: Path) -> None:
    _put(tmp_path, "usr/bin/tool", elf_program([], interpreter="/lib64/ld-linux-x86-64.so.2"))
    _put(tmp_path, "usr/lib64/ld-linux-x86-64.so.2", elf_program([]))
    assert set(_closure(tmp_path, "/bin/tool")) == {"usr/bin/tool", "usr/lib64/ld-linux-x86-64.so.2"}
