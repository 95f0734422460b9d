"""`imagebuilder build`: from an image tree to artifacts."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagebuilder.cli import profiling
from imagebuilder.cli.places import add_place_arguments, cache_at, cache_folder
from imagebuilder.cli.render import rendered
from imagebuilder.errors import UserError

if TYPE_CHECKING:
    from imagebuilder.resolve.lock import Lock
    from imagebuilder.spec.tree import TreeSpec

_EPILOG = """\
examples:
  sudo imagebuilder build                          everything in ./all.yml (or ./images/all.yml)
  sudo imagebuilder build my/all.yml -e debootstrap_release=trixie
  sudo imagebuilder build old/all.yml --repin      a tree with package versions of another suite
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
    add_images_arguments(parser)
    parser.add_argument(
        "--lock", action="store_true", help="bring imagebuilder.lock up to date first, as `imagebuilder lock` does"
    )
    parser.add_argument(
        "--repin", action="store_true", help="take the newest versions where the tree names some, and say which"
    )
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count() or 1, help="steps side by side")
    parser.add_argument("--store-only", action="store_true", help="leave the artifact folder as it is")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what the tools print")
    parser.add_argument("--json", action="store_true", help="events as JSON lines on standard output")
    parser.add_argument(
        "--keep-failed", action="store_true", help="keep what a failing step leaves, for `imagebuilder shell --failed`"
    )
    profiling.add_arguments(parser)
    parser.set_defaults(run=run)


def add_images_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what says which images are meant and where their steps are kept: `tree_of` and `cache_at` read it."""
    parser.add_argument("playbook", nargs="?", type=Path, help="the playbook (default: all.yml, images/all.yml)")
    parser.add_argument("--kind", choices=("initrd", "base", "overlay"), help="build one image of this kind")
    parser.add_argument("--config-file", metavar="FILE", help="its config file, relative to the tree")
    parser.add_argument("--provisioner", metavar="ROLE", help="its role, if the config file does not name it")
    parser.add_argument("--tree", type=Path, default=Path(), help="the tree of --config-file (default: .)")
    parser.add_argument(
        "--rebuild-overlays",
        action="store_true",
        help="make overlays again whose base has changed, instead of checking that they still fit",
    )
    add_tree_arguments(parser)
    add_place_arguments(parser)


def add_tree_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every verb knows that reads a tree."""
    parser.add_argument(
        "-e", "--extra-vars", action="append", default=[], metavar="KEY=VALUE|@FILE", help="set a variable of the tree"
    )
    parser.add_argument(
        "--sign",
        type=Path,
        metavar="KEY",
        help="the key (`imagebuilder keygen`) that signs what is built, and that its initrds trust (default: "
        "`signing_key` in group_vars)",
    )
    parser.add_argument(
        "--strict-portable",
        action="store_true",
        help="refuse overlays from which an initrd that is not ours would lose anything, naming each path",
    )


def run(arguments: argparse.Namespace) -> int:
    """Read the tree and its lock, then build it: in a private namespace, unless all is done already."""
    from imagebuilder.engine.done import Options, build_what_is_done, locked_plan
    from imagebuilder.engine.sign import signer_of

    tree = tree_of(arguments)
    lock = lock_of(tree, renewed=arguments.lock)
    options = Options(
        cache=cache_at(arguments),
        jobs=max(1, arguments.jobs),
        epoch=source_date_epoch(),
        repin=arguments.repin,
        keep_failed=arguments.keep_failed,
        shows=not arguments.store_only,
        signer=signer_of(tree),
        rebuild_overlays=arguments.rebuild_overlays,
    )
    if arguments.repin and (lock or arguments.lock):
        raise UserError(
            "`--repin` takes other versions than imagebuilder.lock does",
            hint="`imagebuilder lock --upgrade` takes the newest",
        )
    exact = None
    if lock and not arguments.lock:
        exact = locked_plan(tree, lock, options)
        with profiling.recorded_progress(arguments, options.cache) as report:
            if build_what_is_done(exact, tree, options, report):
                return 0
    from imagebuilder.engine.build import build, refuse_foreign
    from imagebuilder.host import tools
    from imagebuilder.host.namespace import become_root, run_private

    become_root("build")
    tools.require(tools.needed_by("build"))
    refuse_foreign(tree)
    if arguments.lock:
        exact = locked_plan(tree, _renewed(tree, lock, arguments), options)

    def work() -> int:
        with profiling.recorded_progress(arguments, options.cache) as report:
            build(tree, exact, options, report)
        return 0

    return run_private(lambda: rendered(work))


def tree_of(arguments: argparse.Namespace) -> TreeSpec:
    """Read the images that are meant: those of a playbook, or one by its config file."""
    from imagebuilder.spec.tree import load_image, load_tree

    extra = extra_of(arguments)
    if arguments.config_file and arguments.kind and not arguments.playbook:
        return load_image(arguments.tree, arguments.kind, arguments.config_file, arguments.provisioner, extra)
    if arguments.config_file or arguments.kind or arguments.provisioner:
        raise UserError("one image is built by `--kind` and `--config-file`, without a playbook", hint=_ONE_IMAGE)
    return load_tree(playbook_at(arguments.playbook), extra)


def extra_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The variables that the command line sets."""
    extra = extra_variables(arguments.extra_vars)
    if arguments.sign:
        extra["signing_key"] = str(arguments.sign.resolve())
    return {**extra, "strict_portable": True} if arguments.strict_portable else extra


def lock_of(tree: TreeSpec, *, renewed: bool = False) -> Lock | None:
    """The tree's lock, if it has one; it answers for the tree, or is about to be `renewed`."""
    from imagebuilder.resolve.lock import read_lock

    lock = read_lock(tree.root)
    if lock and not renewed:
        from imagebuilder.plan.lock import refuse_stale

        refuse_stale(lock, tree)
    return lock


def _renewed(tree: TreeSpec, lock: Lock | None, arguments: argparse.Namespace) -> Lock:
    from imagebuilder.cli.lock import write_lock

    if not tree.playbook:
        raise UserError("`--lock` goes with a playbook: a lock is that of all its images", hint="`imagebuilder lock`")
    return write_lock(tree, lock, None, cache_folder(arguments))


def source_date_epoch() -> int | None:
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


def playbook_at(given: Path | None) -> Path:
    """The playbook that is named, or lies in a folder that is, or here."""
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
