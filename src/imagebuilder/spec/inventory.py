"""The inventory `hosts`: where build roots are mounted, and variables that hold for all images.

Ansible's INI form, as far as this file needs it: groups of hosts, a host being
the absolute path of a build root; `[on_imagebuild:vars]` with lines `name=value`,
which group_vars override. A host's own variables are for Ansible alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from imagebuilder.errors import Location, SpecError

Kind = Literal["initrd", "base", "overlay"]
GROUP = "on_imagebuild"
# By kind the name of its group, and that of 2015 where it was another.
_GROUPS: Mapping[Kind, tuple[str, ...]] = {
    "initrd": ("initrd_build_chroot", "initrd_build_env_chroot"),
    "base": ("basefs_build_chroot",),
    "overlay": ("overlay_build_chroot",),
}


@dataclass(frozen=True, slots=True)
class Inventory:
    """The first build root of each kind's group (a kind without one is left out), and the group's variables."""

    build_roots: Mapping[Kind, Path]
    variables: Mapping[str, str]


def load_inventory(path: Path) -> Inventory:
    """Read the file, which need not exist. Raises SpecError with the line that cannot be read."""
    hosts: dict[str, Path] = {}
    variables: dict[str, str] = {}
    group = ""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for number, text in enumerate(lines, start=1):
        words = _words(text, Location(path, number))
        if not words:
            continue
        if words[0].startswith("["):
            group = words[0].strip("[]")
        elif group == f"{GROUP}:vars":
            name, _, value = " ".join(words).partition("=")
            variables[name.strip()] = value.strip()
        elif words[0].startswith("/"):
            hosts.setdefault(group, Path(words[0]))
    found = {kind: [hosts[name] for name in names if name in hosts] for kind, names in _GROUPS.items()}
    return Inventory({kind: roots[0] for kind, roots in found.items() if roots}, variables)


def _words(text: str, location: Location) -> list[str]:
    if text.lstrip().startswith(";"):
        return []
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise SpecError(f"this line of the inventory cannot be read: {error}", location=location) from None
