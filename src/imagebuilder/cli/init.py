"""`imagebuilder init`: a copy of the default image tree to start from."""

from __future__ import annotations

import argparse
import shlex
import shutil
from pathlib import Path

from imagebuilder import resources
from imagebuilder.errors import UserError


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser("init", help="start an image tree", description="Copy the default image tree to DIR.")
    parser.add_argument("folder", metavar="DIR", type=Path, help="a folder that does not exist yet, or is empty")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy the tree."""
    folder: Path = arguments.folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"`{folder}` exists and is not an empty folder", hint="name another one; nothing was written")
    shutil.copytree(
        resources.folder("images"), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
    )
    playbook = shlex.quote(str(folder / "all.yml"))
    print(f"{folder} is an image tree. Next: sudo imagebuilder build {playbook}")
    return 0
