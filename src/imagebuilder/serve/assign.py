"""A change of nodes.yml that leaves all else in the file as its author wrote it, comments included.

What is written is read again before it counts: if it does not say what it should, nothing is written.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from imagebuilder.errors import Location, SpecError, UserError
from imagebuilder.serve.nodes import Entry, Nodes, parse_nodes

_BY_HAND = "write it into the file by hand"


def assigned(text: str, path: Path, wants: dict[str, str], profile: str) -> str:
    """The text with machines that `wants` fits (one of mac, uuid, serial) having a profile, before all others.

    Raises SpecError when the file is wrong, UserError for an unknown profile or a file that is not written plainly.
    """
    before = parse_nodes(text, path)
    if profile not in before.profiles:
        known = ", ".join(f"`{name}`" for name in before.profiles)
        raise UserError(f"{path} has no profile `{profile}`", hint=f"it has {known}")
    old = next((entry for entry in before.entries if dict(entry.wants) == wants), None)
    changed = _with_profile(text, old, profile) if old else _with_entry(text, wants, profile)
    try:
        after = parse_nodes(changed, path)
    except SpecError:
        after = Nodes()
    if not _is_as_meant(before, after, old, profile):
        raise UserError(f"{path} is not written so that a program could change it", hint=_BY_HAND)
    return changed


def _with_profile(text: str, entry: Entry, profile: str) -> str:
    """The text with another profile in an entry, which may be on one line or on several."""
    lines = text.splitlines(keepends=True)
    for number in range(entry.location.line - 1, len(lines)):
        changed, count = re.subn(r"(\bprofile:\s+)[\"']?[\w.-]+[\"']?", rf"\g<1>{profile}", lines[number], count=1)
        if count:
            lines[number] = changed
            break
    return "".join(lines)


def _with_entry(text: str, wants: dict[str, str], profile: str) -> str:
    """The text with a new entry at the top of `nodes:`, which comes into being if it is not there."""
    pairs = ", ".join(f"{key}: {json.dumps(value)}" for key, value in wants.items())
    entry = f"- {{{pairs}, profile: {profile}}}\n"
    match = re.search(r"^nodes:[ \t]*(?:\[\])?[ \t]*(?:#.*)?\n", text + "\n", re.MULTILINE)
    if match is None:
        return f"{text.rstrip()}\n\nnodes:\n  {entry}"
    indent = re.match(r"(?:[ \t]*(?:#.*)?\n)*([ ]*)- ", text[match.end() :])
    head = text[: match.end()].replace("[]", "", 1) if "[]" in match[0] else text[: match.end()]
    if not head.endswith("\n"):
        head += "\n"
    return f"{head}{indent[1] if indent else '  '}{entry}{text[match.end() :]}"


def _is_as_meant(before: Nodes, after: Nodes, old: Entry | None, profile: str) -> bool:
    """Whether just this has changed."""
    if old:
        expected = [replace(entry, profile=profile) if entry == old else entry for entry in before.entries]
        entries = list(after.entries)
    else:
        expected, entries = list(before.entries), list(after.entries[1:])
        if not after.entries or after.entries[0].profile != profile:
            return False
    nowhere = Location(Path())
    same = [replace(e, location=nowhere) for e in entries] == [replace(e, location=nowhere) for e in expected]
    return same and (after.profiles, after.default) == (before.profiles, before.default)
