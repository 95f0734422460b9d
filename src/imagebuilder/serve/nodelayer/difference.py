"""What changed from one layer of a node to the next, as a unified diff of what may be shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

from imagebuilder.serve.nodelayer.layer import Shown


def difference(old: Sequence[Shown], new: Sequence[Shown]) -> Iterator[str]:
    """The lines of it, file by file; none when nothing that may be shown has changed."""
    before, after = ({file.path: file for file in files} for files in (old, new))
    for path in sorted(before.keys() | after.keys()):
        old_lines, new_lines = (_lines(files.get(path)) for files in (before, after))
        old_name, new_name = (
            f"{side}{path}" if path in files else "/dev/null" for side, files in (("a", before), ("b", after))
        )
        yield from difflib.unified_diff(old_lines, new_lines, old_name, new_name, lineterm="")


def head_of(file: Shown) -> str:
    """All but the content of a file, in a line."""
    secrets = f"  with the secrets {', '.join(file.secrets)}" if file.secrets else ""
    return f"{file.path}  {file.mode}  {file.owner}:{file.group}{secrets}"


def _lines(file: Shown | None) -> list[str]:
    """A file with its mode and owner, which may change as well."""
    return [head_of(file), *file.content.splitlines()] if file else []
