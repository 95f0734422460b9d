"""The table of the host's tools: well formed, true, and the source of the error that names a missing one."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from imagebuilder import resources
from imagebuilder.errors import MissingToolError
from imagebuilder.host import tools
from imagebuilder.host.tools import Tool

TABLES = sorted(resources.folder("packaging").glob("apt-*.txt"))
EVERY_TOOL = [tool for verb in tools.TABLES for tool in tools.needed_by(verb)]
NO_TOOL = Tool("no-such-program", "no-such-package", "shows the error")


def test_every_table_belongs_to_a_verb() -> None:
    assert {table.name for table in TABLES} == set(tools.TABLES.values())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_line_names_a_package_and_says_why(table: Path) -> None:
    entries = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    assert entries
    assert entries == sorted(entries)
    for line in entries:
        assert re.fullmatch(r"[a-z0-9][a-z0-9+.-]+( +[\w/.+-]+)* +# \S.*", line)


@pytest.mark.parametrize("tool", EVERY_TOOL, ids=lambda tool: tool.name)
def test_every_tool_comes_from_the_package_that_the_table_names(tool: Tool) -> None:
    files = subprocess.run(["dpkg-query", "--listfiles", tool.package], capture_output=True, text=True, check=True)
    names = {path for path in files.stdout.splitlines() if path == tool.name or path.endswith(f"bin/{tool.name}")}
    assert names
    assert tool.is_present()


def test_missing_tool_is_named_with_its_package_and_the_command() -> None:
    with pytest.raises(MissingToolError) as caught:
        tools.require([*tools.needed_by("build"), NO_TOOL])
    assert "`no-such-program`" in caught.value.message
    assert "`no-such-package`" in caught.value.message
    assert "`mksquashfs`" not in caught.value.message
    assert caught.value.hint == "as root: apt-get install --no-install-recommends no-such-package"


def test_missing_file_is_missing_like_a_program(tmp_path: Path) -> None:
    present = tmp_path / "keyring.gpg"
    present.touch()
    listed = [Tool(str(present), "a", ""), Tool(str(tmp_path / "absent.gpg"), "b", "")]
    assert tools.missing(listed) == (listed[1],)


def test_install_command_names_a_package_once() -> None:
    both = [Tool("getfacl", "acl", ""), Tool("setfacl", "acl", ""), Tool("abc", "abc", "")]
    assert tools.install_command(both) == "apt-get install --no-install-recommends abc acl"
