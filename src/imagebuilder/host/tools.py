"""Which programs and files of the host each verb needs, and the Debian package that brings them.

The table is `packaging/apt-*.txt`, the same that `make` installs from. A line
is `PACKAGE PROGRAM-OR-FILE... # WHY`; a line that starts with `#` is a comment.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuilder import resources
from imagebuilder.errors import MissingToolError
from imagebuilder.host.command import CLEAN_ENVIRONMENT

_VERBS = ("build", "boot", "serve", "uki", "capture", "test")
TABLES: Mapping[str, str] = {verb: f"apt-{verb}.txt" for verb in _VERBS}
"""Verb -> the file that lists its tools."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program (or, as an absolute path, a file) of a Debian package, and what it is for."""

    name: str
    package: str
    purpose: str

    def is_present(self) -> bool:
        """Whether the host has it, on the path that builds run with."""
        if self.name.startswith("/"):
            return Path(self.name).exists()
        return shutil.which(self.name, path=CLEAN_ENVIRONMENT["PATH"]) is not None


def needed_by(verb: str) -> tuple[Tool, ...]:
    """What a verb of `TABLES` needs."""
    text = (resources.folder("packaging") / TABLES[verb]).read_text()
    return tuple(tool for line in text.splitlines() for tool in _tools(line))


def missing(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    """Those of `tools` that the host lacks."""
    return tuple(tool for tool in tools if not tool.is_present())


def install_command(tools: Iterable[Tool]) -> str:
    """The command that brings `tools`, each package once."""
    return " ".join(["apt-get install --no-install-recommends", *sorted({tool.package for tool in tools})])


def require(tools: Iterable[Tool]) -> None:
    """Make sure that all `tools` are there. Raises MissingToolError that names those that are not."""
    absent = missing(tools)
    if absent:
        names = ", ".join(f"`{tool.name}` (Debian package `{tool.package}`: {tool.purpose})" for tool in absent)
        raise MissingToolError(f"not installed on this machine: {names}", hint=f"as root: {install_command(absent)}")


def _tools(line: str) -> list[Tool]:
    entry, _, purpose = line.partition("#")
    package, *names = entry.split() or [""]
    return [Tool(name, package, purpose.strip()) for name in names]
