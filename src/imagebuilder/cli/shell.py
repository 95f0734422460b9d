"""`imagebuilder shell`: look around in what a failed step left."""

from __future__ import annotations

import argparse
import os
import sys

from imagebuilder.cli.places import add_cache_argument, cache_folder
from imagebuilder.cli.render import rendered

_LINES = 20
_EPILOG = """\
examples:
  sudo imagebuilder build --keep-failed
  sudo imagebuilder shell --failed                           the step that failed last
  sudo imagebuilder shell --failed 'discovery: provision'
  sudo imagebuilder shell --failed --forget                  remove what it left

The shell sees what the step saw: the layers below, what it had changed, apt with the packages of the
build. What you change stays until the step is built again. Commands can come from standard input too.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "shell",
        help="open a shell in what a failed step left",
        description="Open a shell in what a step left that failed in a build with `--keep-failed`.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--failed",
        nargs="?",
        const="",
        required=True,
        metavar="STEP",
        help="the step (default: the one that failed last)",
    )
    parser.add_argument("--forget", action="store_true", help="remove what it left instead")
    add_cache_argument(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Say what had happened, then run the shell in a private namespace; its exit status is ours."""
    from imagebuilder.engine.cache import Cache
    from imagebuilder.engine.failed import FailedSteps
    from imagebuilder.engine.shell import open_shell
    from imagebuilder.host.namespace import become_root, run_private

    become_root("shell")
    failed = FailedSteps(Cache(cache_folder(arguments)).failed)
    failure = failed.find(arguments.failed)
    if arguments.forget:
        failed.forget(failure)
        return 0
    for line in failure.output[-_LINES:]:
        print(f"  | {line}", file=sys.stderr)
    print(f"{failure.step} of {failure.tree} failed: {failure.message}", file=sys.stderr, flush=True)
    environment = {"TERM": os.environ.get("TERM", "dumb"), "PS1": f"({failure.step}) \\w # "}
    return run_private(lambda: rendered(lambda: open_shell(failed, failure, environment)), on_terminal=True)
