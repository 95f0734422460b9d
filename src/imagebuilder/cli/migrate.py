"""`imagebuilder migrate`: an old image tree in today's form."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from imagebuilder.errors import UserError

_EPILOG = """\
The old tree is left as it is, and builds as it is: what is read as something else is told by `build`. The new one
says the same in today's words: `image:` with keys of ours where a role only installed packages, today's Ansible
syntax where a role does more. Each change is one line on standard output and in NEW/MIGRATED.txt. Versions of
packages are kept; `imagebuilder build --repin` takes the newest.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "migrate",
        help="write an image tree of 2015 in today's form",
        description="Write the image tree OLD, of Ansible 1.9 or 2.1, to NEW in today's form.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD", type=Path, help="the folder with all.yml")
    parser.add_argument("new", metavar="NEW", type=Path, help="a folder that does not exist yet, or is empty")
    parser.add_argument("--json", action="store_true", help="print the changes as one JSON object")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Read all, then write all."""
    from imagebuilder.migrate.tree import REPORT, migrate

    old, new = arguments.old.resolve(), arguments.new.resolve()
    if new.exists() and (not new.is_dir() or any(new.iterdir())):
        raise UserError(f"`{new}` exists and is not an empty folder", hint="name another one; nothing was written")
    migration = migrate(old)
    for name, path in migration.copies.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, new / name)
    for name, text in migration.texts.items():
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        (new / name).write_text(text, encoding="utf-8")
    lines = [str(change).replace(f"{old}/", "") for change in migration.changes]
    (new / REPORT).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if arguments.json:
        found = [
            {"file": str(c.location.file), "line": c.location.line, "old": c.old, "new": c.new}
            for c in migration.changes
        ]
        print(json.dumps({"tree": str(new), "changes": found}))
    else:
        print("\n".join(lines))
    return 0
