"""An error on the terminal: what happened, the output worth reading, the way out."""

from __future__ import annotations

import sys

from imagebuilder.errors import ImagebuilderError

_DETAIL_LINES = 30


def render_error(error: ImagebuilderError) -> int:
    """Print `error` to standard error; returns its exit status."""
    lines = error.detail.rstrip().splitlines()
    left_out = len(lines) - _DETAIL_LINES
    if left_out > 0:
        lines = [f"[{left_out} lines before]", *lines[-_DETAIL_LINES:]]
    for line in lines:
        print(f"  | {line}", file=sys.stderr)
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_code
