"""An error on the terminal: what happened, the output worth reading, the way out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from imagebuilder.errors import ImagebuilderError, Interrupted

_DETAIL_LINES = 30


def rendered(work: Callable[[], int]) -> int:
    """Do `work` and return its exit status, or print the error that it raises and return that one's."""
    try:
        return work()
    except ImagebuilderError as error:
        return render_error(error)
    except KeyboardInterrupt:
        return render_error(Interrupted("interrupted; nothing is left behind"))
    except BrokenPipeError:
        # Whoever read us has heard enough; nor must Python try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return render_error(ImagebuilderError.of(error))


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
