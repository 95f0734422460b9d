"""`imagebuilder keygen`: a pair of keys, one to sign images with, one for nodes to check them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from imagebuilder.errors import UserError

_EPILOG = """\
NAME.key signs: keep it off the boot server, and where nobody else reads it.
NAME.pub checks, and may be known to all; `minisign -V -p NAME.pub -m FILE` takes it, too.

  imagebuilder keygen ~/keys/site
  sudo imagebuilder build --sign ~/keys/site.key

or, for every build, in the tree's group_vars/on_imagebuild:

  signing_key: ~/keys/site.key      # its public half is trusted by the initrds that are built
  trusted_keys: [keys/next.pub]     # and so are these: files of the tree, or the keys themselves
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "keygen",
        help="make a pair of keys to sign images with",
        description="Make a pair of Ed25519 keys, NAME.key and NAME.pub, as minisign has them.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", type=Path, help="where to: NAME.key and NAME.pub, which must not exist")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write both files and print the public key."""
    from imagebuilder.store.signing import SecretKey

    key = SecretKey.new()
    secret, public = (arguments.name.with_name(f"{arguments.name.name}.{kind}") for kind in ("key", "pub"))
    for path in (secret, public):
        if path.exists():
            raise UserError(f"`{path}` exists already", hint="name other files; nothing was written")
    secret.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(key.to_text())
    public.write_text(key.public.to_text(), encoding="utf-8")
    print(key.public.line)
    return 0
