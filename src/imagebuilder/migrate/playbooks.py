"""Playbooks and the inventory in today's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from imagebuilder import resources
from imagebuilder.errors import Location
from imagebuilder.migrate.pieces import dumped, replaced, split
from imagebuilder.spec.inventory import Inventory, Kind
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.legacy.variables import find
from imagebuilder.spec.playbook import BUILDERS, WRAPPERS
from imagebuilder.spec.yamlfile import Document

_IMPORT = "import_playbook"


def is_playbook(document: Document) -> bool:
    """Whether a file is a list of entries that import wrappers or other playbooks."""
    plays = document.value
    return isinstance(plays, list) and bool(plays) and all(isinstance(p, dict) and _imported(p) for p in plays)


def playbook(text: str, document: Document, needless: frozenset[tuple[str, str]]) -> str:
    """A playbook's text; `needless` are pairs of config file and role of which the role goes."""
    starts = [document.at(index).line for index in range(len(document.value))]
    pieces = split(text, starts)
    kept = []
    for play, piece in zip(document.value, pieces.entries, strict=True):
        if Path(_imported(play)).name in BUILDERS:
            continue
        modern = _modern(play, needless)
        kept.append(piece if modern == play else replaced(piece, dumped([modern])))
    return (pieces.head + "".join(kept)).rstrip("\n") + "\n"


def hosts(inventory: Inventory) -> str:
    """The inventory of the default tree with the roots of an old one."""
    text = (resources.folder("images") / "hosts").read_text(encoding="utf-8")
    roots: Mapping[Kind, str] = {kind: f"/run/on-imagebuilder/{kind}" for kind in ("initrd", "base", "overlay")}
    for kind, default in roots.items():
        text = text.replace(f"{default}\n", f"{inventory.build_roots.get(kind, default)}\n")
    return text


def inventory_changes(variables: Mapping[str, Any], going: frozenset[str], path: Path) -> Iterator[Change]:
    """What becomes of the inventory's variables."""
    for name in variables:
        row = find(name)
        why = "in group_vars/on_imagebuild" if name not in going else f"left out: {row.about}" if row else "left out"
        yield Change(Location(path), f"`{name}`", why)


def _imported(play: Mapping[str, Any]) -> str:
    return str(play.get("include") or play.get(_IMPORT) or "")


def _modern(play: Mapping[str, Any], needless: frozenset[tuple[str, str]]) -> dict[str, Any]:
    name = Path(_imported(play))
    target = f"common/{name.name}" if name.name in WRAPPERS else str(name)
    given = play.get("vars") or {}
    variables = {k: v for part in given for k, v in part.items()} if isinstance(given, list) else dict(given)
    if (str(variables.get("config_file")), str(variables.get("provisioner"))) in needless:
        del variables["provisioner"]
    rest = {key: value for key, value in play.items() if key not in ("include", _IMPORT, "vars")}
    return {_IMPORT: target, **rest, **({"vars": variables} if variables else {})}
