"""`imagebuilder uki`: kernel, initrd and kernel arguments as one signed program for Secure Boot."""

from __future__ import annotations

import argparse
from pathlib import Path

from imagebuilder.cli.chosen import add_artifact_arguments, chosen_artifacts
from imagebuilder.errors import UserError

_EPILOG = """\
example:
  imagebuilder build --sign site.key
  imagebuilder uki --overlay discovery --key db.key --cert db.pem \\
      --arguments API_CB=192.0.2.1:9080 --output discovery.efi

Nodes whose firmware has db.pem enrolled boot discovery.efi (over HTTP, PXE or from a disk), and nothing that
somebody else signed. Kernel arguments are part of it: MANIFEST= is added, and nobody can pass others. Standard
output has its sha256.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "uki",
        help="make a signed UEFI program of kernel, initrd and arguments",
        description="Make a unified kernel image, signed with your key for Secure Boot.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_artifact_arguments(parser)
    parser.add_argument("--arguments", default="", metavar="TEXT", help="kernel arguments: the server, a console")
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="the private key that signs (PEM)")
    parser.add_argument("--cert", type=Path, required=True, metavar="FILE", help="its certificate (PEM)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the program, NAME.efi")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the file and print its sha256. Raises UserError for an image that nobody signed."""
    from imagebuilder.boot.uki import SigningPair, write_uki
    from imagebuilder.digest import of_file

    chosen = chosen_artifacts(arguments)
    if chosen.manifest is None:
        raise UserError(
            f"`{arguments.builds}` has no signed manifest of these artifacts",
            hint="`imagebuilder build --sign KEY` makes one: a signed kernel that boots anything proves nothing",
        )
    for path in (arguments.key, arguments.cert):
        if not path.is_file():
            raise UserError(f"there is no file `{path}`", hint="the key and certificate that your firmware trusts")
    kernel, initrd = (chosen.folder / name for name in (chosen.kernel, chosen.initrd))
    line = f"MANIFEST=/{chosen.manifest} {arguments.arguments}".rstrip()
    write_uki(kernel, initrd, line, SigningPair(arguments.key, arguments.cert), arguments.output)
    print(f"{of_file(arguments.output)}  {arguments.output}")
    return 0
