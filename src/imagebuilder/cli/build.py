"""`imagebuilder build`: from an image tree to artifacts."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

from imagebuilder.cli.places import add_place_arguments, cache_at
from imagebuilder.cli.render import rendered
from imagebuilder.console import progress
from imagebuilder.errors import UserError

_EPILOG = """\
examples:
  sudo imagebuilder build                          everything in ./all.yml (or ./images/all.yml)
  sudo imagebuilder build my/all.yml -e debootstrap_release=trixie
  sudo imagebuilder build --kind overlay --config-file vars/discovery.yml
                                                   one image; its base is taken from the artifact folder

The artifacts go to `build_artifact_path` (group_vars/on_imagebuild), by default `builds` beside the tree.
"""
_ONE_IMAGE = "imagebuilder build --kind overlay --config-file vars/discovery.yml"
_EXTRA_FORMS = """write -e key=value, -e 'key="two words"', -e '{"key": ["a", "b"]}' or -e @file.yml"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "build",
        help="build images",
        description="Build the images that a playbook names, or one image by its config file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("playbook", nargs="?", type=Path, help="the playbook (default: all.yml, images/all.yml)")
    parser.add_argument("--kind", choices=("initrd", "base", "overlay"), help="build one image of this kind")
    parser.add_argument("--config-file", metavar="FILE", help="its config file, relative to the tree")
    parser.add_argument("--provisioner", metavar="ROLE", help="its role, if the config file does not name it")
    parser.add_argument("--tree", type=Path, default=Path(), help="the tree of --config-file (default: .)")
    parser.add_argument(
        "-e", "--extra-vars", action="append", default=[], metavar="KEY=VALUE|@FILE", help="set a variable of the tree"
    )
    add_place_arguments(parser)
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="steps side by side")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the tools print")
    parser.add_argument("--json", action="store_true", help="events as JSON lines on standard output")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read the tree, then build it in a private namespace."""
    from imagebuilder.engine.build import Options, build, refuse_foreign
    from imagebuilder.host import tools
    from imagebuilder.host.namespace import become_root, run_private
    from imagebuilder.spec.tree import load_image, load_tree

    extra = extra_variables(arguments.extra_vars)
    if arguments.config_file and arguments.kind and not arguments.playbook:
        tree = load_image(arguments.tree, arguments.kind, arguments.config_file, arguments.provisioner, extra)
    elif arguments.config_file or arguments.kind or arguments.provisioner:
        raise UserError("one image is built by `--kind` and `--config-file`, without a playbook", hint=_ONE_IMAGE)
    else:
        tree = load_tree(_playbook(arguments.playbook), extra)
    become_root("build")
    tools.require(tools.needed_by("build"))
    refuse_foreign(tree)
    options = Options(cache_at(arguments), max(1, arguments.jobs), _epoch())

    def work() -> int:
        with progress(as_json=arguments.json, verbose=arguments.verbose) as report:
            build(tree, options, report)
        return 0

    return run_private(lambda: rendered(work))


def _epoch() -> int | None:
    """SOURCE_DATE_EPOCH, the time that artifacts are to carry (reproducible-builds.org/specs/source-date-epoch)."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if text and not text.isdecimal():
        raise UserError(f"`SOURCE_DATE_EPOCH={text}` is not a number of seconds", hint="`date +%s` prints one")
    return int(text) if text else None


def extra_variables(given: list[str]) -> dict[str, Any]:
    """`-e` as Ansible takes it: `key=value ...` (texts), a JSON object, or `@FILE` of YAML or JSON."""
    from imagebuilder.spec.yamlfile import load

    variables: dict[str, Any] = {}
    for text in given:
        if text.startswith("@"):
            value = load(Path(text[1:])).value
        elif text.startswith("{"):
            value = _json(text)
        else:
            value = _assignments(text)
        if not isinstance(value, dict):
            raise UserError(f"`-e {text}` is not understood", hint=_EXTRA_FORMS)
        variables.update(value)
    return variables


def _assignments(text: str) -> dict[str, str] | None:
    """`a=1 b="x y"`, or nothing when it is something else."""
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        return None
    return {key: value for key, _, value in pairs} if pairs and all(k and equals for k, equals, _ in pairs) else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"`-e {text}` is not JSON: {error}") from None


def _playbook(given: Path | None) -> Path:
    if given is not None:
        if given.is_dir():
            given = given / "all.yml"
        return given
    for candidate in (Path("all.yml"), Path("images/all.yml")):
        if candidate.is_file():
            return candidate
    raise UserError(
        "there is no playbook here (all.yml or images/all.yml)",
        hint="name one, or run `imagebuilder init DIR` for an image tree to start from",
    )
