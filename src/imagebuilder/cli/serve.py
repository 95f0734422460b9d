"""`imagebuilder serve`: the boot server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.places import add_place_arguments, add_state_argument, cache_at, state_of

if TYPE_CHECKING:
    from imagebuilder.serve.app import Settings

_EPILOG = """\
A node needs four things: an address (DHCP), a boot loader, a boot script, and an image. This serves all but the
first. Tell your DHCP server to send nodes here, with PORT as below:

  iPXE (most virtual machines)     filename "http://THIS-HOST:PORT/boot.ipxe"
  UEFI that boots over HTTP        filename "http://THIS-HOST:PORT/ipxe.efi", then, for iPXE, boot.ipxe as above
  GRUB                             prefix (http,THIS-HOST:PORT)/grub

examples:
  imagebuilder serve --image discovery             every node boots discovery:latest, from the next build on the next
  imagebuilder serve --image discovery:stable --append 'console=ttyS0,115200n8 nb.onfail=retry'
  imagebuilder serve --nodes nodes.yml             each machine its own: `imagebuilder node --help` says how
  imagebuilder serve --builds builds               also the names of 2015 (BASEFS=/common/...) from a folder
  imagebuilder node ls                             who has asked, and how far they came

It is also a read-only OCI registry:
  skopeo inspect --tls-verify=false docker://localhost:8080/discovery

SIGTERM or Ctrl-C stops it when running transfers are through, after 10 s at most.
"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "serve",
        help="have machines boot what was built",
        description="Serve boot scripts and images to machines that boot over the network.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--nodes", type=Path, metavar="FILE", help="which machine gets what; read again when it changes")
    what.add_argument("--image", default="", metavar="NAME", help="what all boot: IMAGE[:TAG] or IMAGE@sha256:HEX")
    parser.add_argument("--append", default="", metavar="ARGUMENTS", help="more kernel arguments, with --image")
    parser.add_argument(
        "--bind", action="append", metavar="ADDRESS", help="listen at this address; may come again (default: 0.0.0.0)"
    )
    parser.add_argument("--port", type=_port, default=8080, metavar="N", help="(default: 8080; 0: any that is free)")
    parser.add_argument(
        "--address", default="", metavar="HOST:PORT", help="how nodes reach this server (default: as they asked for it)"
    )
    parser.add_argument("--builds", type=Path, metavar="DIR", help="take the names of 2015 from an artifact folder")
    parser.add_argument(
        "--ipxe", type=Path, default=Path("/usr/lib/ipxe"), metavar="DIR", help="iPXE's programs (default: Debian's)"
    )
    add_state_argument(parser)
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from imagebuilder.serve.app import application
    from imagebuilder.serve.server import Listen
    from imagebuilder.serve.server import run as serve

    app = application(_settings(arguments), _say)
    layout = cache_at(arguments).layout
    listen = Listen(tuple(arguments.bind or ["0.0.0.0"]), arguments.port)
    serve(app, listen, lambda urls: _say(f"serving {layout.root} at {' '.join(urls)}"))
    _say("stopped")
    return 0


def _settings(arguments: argparse.Namespace) -> Settings:
    from imagebuilder.errors import UserError
    from imagebuilder.serve.app import Settings
    from imagebuilder.serve.identity import normal_server
    from imagebuilder.serve.nodes import for_all
    from imagebuilder.serve.scripts import checked_arguments, checked_image

    if arguments.builds and not arguments.builds.is_dir():
        raise UserError(f"there is no artifact folder `{arguments.builds}`", hint="`imagebuilder build` makes it")
    try:
        address = normal_server(arguments.address) if arguments.address else ""
    except ValueError as error:
        raise UserError(f"--address: {error}", hint="it is like `10.0.0.1:8080`") from None
    if arguments.append and not arguments.image:
        raise UserError("`--append` goes with `--image`", hint="nodes.yml has `arguments:` for each profile and node")
    image = checked_image(arguments.image) if arguments.image else ""
    return Settings(
        layout=cache_at(arguments).layout,
        nodes=arguments.nodes or for_all(image, checked_arguments(arguments.append)),
        state=state_of(arguments),
        builds=arguments.builds and arguments.builds.resolve(),
        ipxe=arguments.ipxe,
        address=address,
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"`{text}` is no port")
    return int(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
