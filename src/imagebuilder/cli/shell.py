"""`imagebuilder shell`: look around in an image, or in what a failed step left."""

from __future__ import annotations

import argparse
import os
import sys

from imagebuilder.cli.handmade import add_target_arguments, saved_to, target_of
from imagebuilder.cli.places import add_place_arguments, cache_at, cache_folder
from imagebuilder.cli.render import rendered
from imagebuilder.errors import UserError

_LINES = 20
_EPILOG = """\
examples:
  sudo imagebuilder shell discovery                          look around, try things; nothing stays
  sudo imagebuilder shell discovery --save mine              ... and keep what changed as an overlay

  sudo imagebuilder build --keep-failed
  sudo imagebuilder shell --failed                           the step that failed last
  sudo imagebuilder shell --failed 'discovery: provision'
  sudo imagebuilder shell --failed --forget                  remove what it left

In an image, what you change is shown at the end. With `--save NAME` it becomes NAME.overlay.cpio.gz, and
vars/NAME.yml says the same as a config file, as far as that can be said.

In a failed step the shell sees what the step saw: the layers below, what it had changed, apt with the packages
of the build. What you change stays until the step is built again. Commands can come from standard input too.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "shell",
        help="open a shell in an image, or in what a failed step left",
        description="Open a shell on a writable view of an image, or in what a failed step of a build left.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("image", nargs="?", metavar="IMAGE", help="an image in the store, or the file of a base")
    parser.add_argument("--save", metavar="NAME", help="keep what changed as an overlay of this name")
    add_target_arguments(parser)
    parser.add_argument(
        "--failed",
        nargs="?",
        const="",
        metavar="STEP",
        help="in what a step left that failed in a build with `--keep-failed` (default: the one that failed last)",
    )
    parser.add_argument("--forget", action="store_true", help="remove what it left instead")
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the shell in a private namespace; its exit status is ours."""
    if (arguments.image is None) == (arguments.failed is None):
        raise UserError("name an image, or `--failed [STEP]`", hint="`imagebuilder store ls` lists the images")
    if arguments.failed is not None and arguments.save:
        raise UserError("`--save` goes with an image", hint="a failed step is mended in the tree")
    return _in_image(arguments) if arguments.image is not None else _in_failed(arguments)


def _in_image(arguments: argparse.Namespace) -> int:
    """Show, and maybe save, what was changed in there."""
    from imagebuilder.engine.handmade import shell_in
    from imagebuilder.host.namespace import become_root, run_private

    become_root("shell")
    target = target_of(arguments.save, arguments) if arguments.save else None
    then = saved_to(target, lambda line: print(line, file=sys.stderr))
    environment = _environment(arguments.image)

    def work() -> int:
        return shell_in(cache_at(arguments), arguments.image, environment, then)

    return run_private(lambda: rendered(work), on_terminal=True)


def _environment(name: str) -> dict[str, str]:
    return {"TERM": os.environ.get("TERM", "dumb"), "PS1": f"({name}) \\w # "}


def _in_failed(arguments: argparse.Namespace) -> int:
    """Say what had happened first."""
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
    environment = _environment(failure.step)
    return run_private(lambda: rendered(lambda: open_shell(failed, failure, environment)), on_terminal=True)
