"""`imagebuilder doctor`: what this machine lacks for building and booting images, and the command that mends it.

Exit status: 0 when everything needed is there, 1 when something is not.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.errors import ImagebuilderError, MissingToolError
from imagebuilder.host import command, files, probe, tools
from imagebuilder.host.tools import Tool

_DEFAULT_VERBS = ("build", "boot")
# What building images/all.yml takes at its peak, rounded up: 0.4 GiB for packages, indexes and
# artifacts on disk; in RAM 0.95 for the layers (a tmpfs) and 0.35 for programs.
_FREE_SPACE = 1 << 30
_FREE_MEMORY = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `state` is `ok`, `missing` (needed, not there) or `note` (works without)."""

    state: str
    name: str
    detail: str


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb and its arguments."""
    parser = subparsers.add_parser("doctor", help="say what this machine lacks and the command that mends it")
    parser.add_argument("verb", nargs="?", choices=tuple(tools.TABLES), help="look only at what one verb needs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Examine the machine and print what was found."""
    verbs = (args.verb,) if args.verb else _DEFAULT_VERBS
    needed = [tool for verb in verbs for tool in tools.needed_by(verb)]
    findings = [*_tool_findings(needed), *(finding for verb in verbs for finding in _EXAMINE[verb]())]
    absent = tools.missing(needed)
    mend = tools.install_command(absent) if absent else None
    healthy = all(finding.state != "missing" for finding in findings)
    if args.json:
        print(json.dumps({"ok": healthy, "findings": [dataclasses.asdict(f) for f in findings], "mend": mend}))
    else:
        _print_table(findings)
        if mend:
            print(f"\nmend it as root with: {mend}")
    return 0 if healthy else 1


def _print_table(findings: Sequence[Finding]) -> None:
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.state:<8} {finding.name:<{width}}  {finding.detail}".rstrip())


def _tool_findings(needed: Sequence[Tool]) -> Iterator[Finding]:
    versions = _package_versions(sorted({tool.package for tool in needed}))
    for tool in needed:
        if tool.is_present():
            yield Finding("ok", tool.name, versions.get(tool.package, ""))
        else:
            yield Finding("missing", tool.name, f"{tool.purpose}; Debian package {tool.package}")


def _package_versions(packages: Sequence[str]) -> Mapping[str, str]:
    """Package -> version, of those that dpkg knows; empty where there is no dpkg."""
    show = ("dpkg-query", "--show", "--showformat=${Package} ${Version}\\n", *packages)
    try:
        lines = command.run(command.Command(show, accept=frozenset({0, 1}))).stdout.splitlines()
    except MissingToolError:
        return {}
    return dict(line.split(" ", 1) for line in lines)


def _examine_for_building() -> Iterator[Finding]:
    if os.geteuid() != 0:
        yield _probed("user namespace", probe.user_namespace)
    yield _probed("overlayfs", probe.overlay)
    yield _at_least("free space here", files.free_bytes(Path.cwd()), _FREE_SPACE)
    yield _at_least("free memory", _free_memory(), _FREE_MEMORY)


def _examine_for_booting() -> Iterator[Finding]:
    try:
        probe.guest("kvm")
    except ImagebuilderError as error:
        yield Finding("note", "KVM", f"{error.message}; boots run emulated, several times slower")
    else:
        yield Finding("ok", "KVM", "guests run at full speed")
        return
    yield _probed("QEMU without KVM", lambda: probe.guest("tcg"))


_EXAMINE: Mapping[str, Callable[[], Iterator[Finding]]] = {
    "build": _examine_for_building,
    "boot": _examine_for_booting,
    "serve": lambda: iter(()),
    "uki": lambda: iter(()),
    "capture": lambda: iter(()),
    "test": lambda: iter(()),
}


def _probed(name: str, attempt: Callable[[], None]) -> Finding:
    try:
        attempt()
    except ImagebuilderError as error:
        return Finding("missing", name, error.message)
    return Finding("ok", name, "tried, works")


def _at_least(name: str, amount: int, wanted: int) -> Finding:
    shown = f"{amount / (1 << 30):.1f} GiB"
    if amount >= wanted:
        return Finding("ok", name, shown)
    return Finding("missing", name, f"{shown}; a build takes up to {wanted >> 30} GiB")


def _free_memory() -> int:
    """Bytes that new programs may take, as the kernel estimates it: proc(5), MemAvailable."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kibibytes) * 1024
