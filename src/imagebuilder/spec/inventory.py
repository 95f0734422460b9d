"""The inventory `hosts`: where build roots are mounted.

Ansible's INI form, as far as this file needs it: groups of hosts, a host being
the absolute path of a build root, with variables that only Ansible reads.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from imagebuilder.errors import Location, SpecError

Kind = Literal["initrd", "base", "overlay"]
GROUPS: Mapping[Kind, str] = {
    "initrd": "initrd_build_chroot",
    "base": "basefs_build_chroot",
    "overlay": "overlay_build_chroot",
}


def load_build_roots(path: Path) -> Mapping[Kind, Path]:
    """The first build root of each kind's group; a kind without one is left out."""
    if not path.exists():
        return {}
    hosts: dict[str, list[Path]] = {}
    group = "ungrouped"
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = _words(text, Location(path, number))
        if not words:
            continue
        if words[0].startswith("["):
            group = text.split("#")[0].strip().strip("[]")
        elif words[0].startswith("/"):
            hosts.setdefault(group, []).append(Path(words[0]))
    return {kind: hosts[name][0] for kind, name in GROUPS.items() if name in hosts}


def _words(text: str, location: Location) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError as error:
        raise SpecError(f"this line of the inventory cannot be read: {error}", location=location) from None
