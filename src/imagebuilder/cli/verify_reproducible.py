"""`imagebuilder verify-reproducible`: build a tree again as if on another machine, and compare every byte."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.render import rendered

if TYPE_CHECKING:
    from imagebuilder.engine.layer_difference import PathDifference
    from imagebuilder.engine.reproduction import Unequal, Verdict

_EPILOG = """\
The first build is the usual one, of which nothing is done again that is there already. The second finds nothing but
the packages, and has another host name, umask, language and time zone and one processor. Nothing is published.

exit status: 0 every byte is the same, 1 something differs: which step made it, and in which file
"""
_SHOWN = 20


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "verify-reproducible",
        help="build a tree twice and compare the bytes",
        description="Build a tree again as if on another machine, and compare every artifact, byte for byte.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("playbook", nargs="?", help="the playbook (default: as `build`)")
    parser.add_argument(
        "-e", "--extra-vars", action="append", default=[], metavar="KEY=VALUE|@FILE", help="set a variable of the tree"
    )
    parser.add_argument("--cache", type=Path, metavar="DIR", help="the cache of the first build (default: as `build`)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Build twice in a private namespace, where everything ends with us, and compare."""
    from imagebuilder.engine.cache import default_folder
    from imagebuilder.host.namespace import become_root, run_private

    become_root("verify-reproducible")
    folder = (arguments.cache or default_folder()).resolve()
    return run_private(lambda: rendered(lambda: _verify(arguments, folder)))


def _verify(arguments: argparse.Namespace, folder: Path) -> int:
    from imagebuilder.engine.cache import Cache
    from imagebuilder.engine.reproduction import compare, elsewhere, fresh_cache, here
    from imagebuilder.host.command import run as run_command

    epoch = {name: os.environ[name] for name in ("SOURCE_DATE_EPOCH",) if name in os.environ}
    given = [*([arguments.playbook] if arguments.playbook else []), *(f"-e{text}" for text in arguments.extra_vars)]
    program = (sys.executable, "-m", "imagebuilder", "build", "--store-only", "--rebuild-overlays", *given, "--cache")
    with fresh_cache(folder) as fresh:
        first = here((*program, str(folder)), epoch)
        second = elsewhere((*program, str(fresh), "--jobs", "1"), epoch)
        for name, command in (("first", first), ("second", second)):
            status = run_command(command, partial(_say, name)).status
            if status:
                return status
        verdict = compare(Cache(folder), Cache(fresh))
        if arguments.json:
            print(json.dumps({"reproducible": _is_good(verdict), **dataclasses.asdict(verdict)}, default=str))
        else:
            print(*_lines(verdict), sep="\n")
    return 0 if _is_good(verdict) else 1


def _say(build: str, line: str) -> None:
    print(f"{build} build: {line}", file=sys.stderr, flush=True)


def _is_good(verdict: Verdict) -> bool:
    return not verdict.steps and not verdict.manifests


def _lines(verdict: Verdict) -> Iterator[str]:
    if _is_good(verdict):
        yield f"reproducible: all {verdict.compared} artifacts, lists and manifests are the same"
    for step in verdict.steps:
        yield f"{step.step}: sha256 {step.first[:12]}, then {step.second[:12]}"
        yield from _step_lines(step)
    if verdict.manifests:
        yield f"other manifests: {', '.join(verdict.manifests)}"


def _step_lines(step: Unequal) -> Iterator[str]:
    if step.paths is None:
        yield "  the folders that it packed are gone from the first build's cache: verify with another `--cache`"
        return
    if not step.paths:
        yield "  all files that it packs are the same: it is the packing that differs"
    for path in step.paths[:_SHOWN]:
        yield f"  {path.path}, made by `{path.step}`: {'; '.join(path.how)}"
        yield from (f"    {line}" for line in _explained(path))
    if len(step.paths) > _SHOWN:
        yield f"  and {len(step.paths) - _SHOWN} more (`--json` names them)"


def _explained(path: PathDifference) -> Iterator[str]:
    """What differs inside: as diffoscope sees it, where it is installed."""
    from imagebuilder.host.command import CLEAN_ENVIRONMENT, Command
    from imagebuilder.host.command import run as run_command

    if path.files and shutil.which("diffoscope", path=CLEAN_ENVIRONMENT["PATH"]):
        argv = ("diffoscope", "--text", "-", *map(str, path.files))
        command = Command(argv, accept=frozenset({0, 1, 2, -9}), timeout=120)
        shown = run_command(command).stdout.splitlines()[:40]
        if shown:
            yield from shown
            return
    yield from path.detail
