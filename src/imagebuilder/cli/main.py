"""`imagebuilder VERB ...`: finds the verb, runs it, renders an error once."""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import signal
import sys
from collections.abc import Sequence

from imagebuilder import __version__
from imagebuilder.cli.render import rendered

_VERBS = (
    *("build", "plan", "lock", "shell", "capture", "merge", "boot", "serve", "node", "run", "catalog"),
    *("store", "push", "pull", "sbom", "inspect", "size", "diff", "check", "whence", "verify_reproducible"),
    *("init", "keygen", "uki", "migrate", "doctor"),
)
_EPILOG = """\
a first image:
  imagebuilder init my-images          a copy of the default image tree
  sudo imagebuilder build my-images/all.yml
  imagebuilder boot --overlay discovery --builds builds

exit status: 0 done, 1 failed, 2 the input is wrong (nothing was built), 130 interrupted
"""


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The command line: the whole of it, or, to start sooner, with one verb only."""
    top = argparse.ArgumentParser(
        prog="imagebuilder",
        description="Build netbootable, in-RAM Debian and Ubuntu images, and boot machines from them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for verb in (only,) if only in _VERBS else _VERBS:
        importlib.import_module(f"imagebuilder.cli.{verb}").add_parser(verbs)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    # What start-up imports stays to the end: looking for garbage in it takes a tenth of the time of a short run.
    gc.set_threshold(200_000)
    # `kill` says what Ctrl-C says.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Names of files are bytes: those that are no text are printed as they are.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")
    status = rendered(lambda: _run(argv))
    if argv is None:
        gc.freeze()  # nor is there any at the very end, when the kernel takes all of it back
    return status


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(words[0] if words else None).parse_args(words)
    return int(arguments.run(arguments))
