"""`imagebuilder serve`: the boot server."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from imagebuilder.cli.places import (
    add_place_arguments,
    add_state_argument,
    cache_at,
    cache_folder,
    state_of,
    token_file,
)

if TYPE_CHECKING:
    from imagebuilder.serve.app import Settings
    from imagebuilder.serve.dnsmasq import Pxe
    from imagebuilder.serve.server import Tls

_EPILOG = """\
A node needs four things: an address (DHCP), a boot loader, a boot script, and an image. With --pxe this serves all
of them, on the one network card that you name. Without, tell your DHCP server to send nodes here:

  iPXE (most virtual machines)     filename "http://THIS-HOST:PORT/boot.ipxe"
  UEFI that boots over HTTP        filename "http://THIS-HOST:PORT/ipxe.efi", then, for iPXE, boot.ipxe as above
  GRUB                             prefix (http,THIS-HOST:PORT)/grub

examples:
  imagebuilder serve --image discovery --pxe eth1  a lab: whatever is switched on behind eth1 boots
  imagebuilder serve --image discovery             every node boots discovery:latest, from the next build on the next
  imagebuilder serve --image discovery:stable --append 'console=ttyS0,115200n8 nb.onfail=retry'
  imagebuilder serve --nodes nodes.yml             each machine its own: `imagebuilder node --help` says how
  imagebuilder serve --builds builds               also the names of 2015 (BASEFS=/common/...) from a folder
  imagebuilder serve --nodes nodes.yml --tls-cert boot.pem --tls-key boot.key
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
    parser.add_argument(
        "--known-only", action="store_true", help="with --nodes: what no entry fits is remembered, and gets nothing"
    )
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
    tls = parser.add_argument_group("HTTPS for the operator and for nodes' secrets, beside HTTP, which nodes speak")
    tls.add_argument("--tls-cert", type=Path, metavar="FILE", help="the certificate, PEM, its authorities' behind it")
    tls.add_argument("--tls-key", type=Path, metavar="FILE", help="its key, PEM, without a password")
    tls.add_argument("--tls-port", type=_port, default=8443, metavar="N", help="(default: 8443)")
    pxe = parser.add_argument_group("addresses and boot programs for nodes (DHCP, TFTP), by dnsmasq; as root")
    pxe.add_argument("--pxe", metavar="IFACE", help="be the DHCP server on this network card, and on no other")
    pxe.add_argument("--pxe-range", default="", metavar="FIRST,LAST", help="addresses for nodes (default: upper half)")
    pxe.add_argument(
        "--pxe-proxy", action="store_true", help="leave addresses to the DHCP server that is there (proxyDHCP)"
    )
    pxe.add_argument("--print-dnsmasq", action="store_true", help="print the configuration for --pxe, and do nothing")
    pxe.add_argument("--print-kea", action="store_true", help="print the same for a Kea of your own, and do nothing")
    parser.add_argument(
        "--print-nginx",
        type=_port,
        metavar="N",
        help="print what has an nginx on port N send the blobs, and do nothing",
    )
    parser.add_argument(
        "--operator-token-file",
        type=Path,
        metavar="FILE",
        help="who shows this token is the operator; made if missing (default: operator-token beside the state)",
    )
    add_state_argument(parser)
    add_place_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    from imagebuilder.serve import dnsmasq, kea, nginx
    from imagebuilder.serve.app import application
    from imagebuilder.serve.operator import is_here
    from imagebuilder.serve.server import Listen
    from imagebuilder.serve.server import run as serve

    pxe = _pxe(arguments)
    if arguments.print_dnsmasq and pxe:
        sys.stdout.write(dnsmasq.configuration(pxe))
        return 0
    if arguments.print_kea and pxe:
        sys.stdout.write(kea.configuration(pxe))
        return 0
    layout = cache_at(arguments).layout
    if arguments.print_nginx:
        sys.stdout.write(nginx.configuration(layout, f"127.0.0.1:{arguments.port}", arguments.print_nginx))
        return 0
    tls = _tls(arguments)
    app = application(_settings(arguments), _say)
    listen = Listen(tuple(arguments.bind or ["0.0.0.0"]), arguments.port, tls=tls)
    if not tls and not all(map(is_here, listen.addresses)):
        _say("the operator's token crosses the network in clear, unless `--tls-cert` and `--tls-key` are given")
    with dnsmasq.running(pxe, _own_folder(arguments), _say) if pxe else nullcontext():
        serve(app, listen, lambda urls: _say(f"serving {layout.root} at {' '.join(urls)}"))
    _say("stopped")
    return 0


def _tls(arguments: argparse.Namespace) -> Tls | None:
    """How HTTPS is spoken, if at all."""
    from imagebuilder.errors import UserError
    from imagebuilder.serve.server import Tls
    from imagebuilder.serve.tls import tls_context

    if not (arguments.tls_cert or arguments.tls_key):
        return None
    if not (arguments.tls_cert and arguments.tls_key):
        raise UserError("`--tls-cert` and `--tls-key` go together", hint="both may name the same file")
    return Tls(tls_context(arguments.tls_cert, arguments.tls_key), arguments.tls_port)


def _pxe(arguments: argparse.Namespace) -> Pxe | None:
    """What dnsmasq is to do, if anything."""
    from imagebuilder.errors import NotPermittedError, UserError
    from imagebuilder.host import tools
    from imagebuilder.serve.dnsmasq import Pxe, network_of

    if not arguments.pxe:
        if arguments.print_dnsmasq or arguments.print_kea or arguments.pxe_range or arguments.pxe_proxy:
            raise UserError("`--print-dnsmasq`, `--print-kea`, `--pxe-range` and `--pxe-proxy` go with `--pxe IFACE`")
        return None
    if arguments.pxe_range and arguments.pxe_proxy:
        raise UserError("a proxy gives no addresses", hint="either `--pxe-range` or `--pxe-proxy`")
    if not arguments.port:
        raise UserError("`--pxe` needs a port that is known beforehand", hint="`--port N`")
    network = network_of(arguments.pxe, arguments.pxe_range)
    if not (arguments.print_dnsmasq or arguments.print_kea):
        if os.geteuid() != 0:
            raise NotPermittedError("`--pxe` needs root: DHCP and TFTP have ports below 1024", hint="sudo")
        tools.require(tools.needed_by("serve"))
    server = arguments.address or f"{network.own.ip}:{arguments.port}"
    leases = _own_folder(arguments) / "dnsmasq.leases"
    return Pxe(network, server, arguments.ipxe, leases, proxy=arguments.pxe_proxy)


def _own_folder(arguments: argparse.Namespace) -> Path:
    return cache_folder(arguments) / "serve"


def _settings(arguments: argparse.Namespace) -> Settings:
    from imagebuilder.errors import UserError
    from imagebuilder.serve.app import Settings
    from imagebuilder.serve.identity import normal_server
    from imagebuilder.serve.nodes import for_all
    from imagebuilder.serve.operator import Operator
    from imagebuilder.serve.scripts import checked_arguments, checked_image

    if arguments.builds and not arguments.builds.is_dir():
        raise UserError(f"there is no artifact folder `{arguments.builds}`", hint="`imagebuilder build` makes it")
    try:
        address = normal_server(arguments.address) if arguments.address else ""
    except ValueError as error:
        raise UserError(f"--address: {error}", hint="it is like `10.0.0.1:8080`") from None
    if arguments.append and not arguments.image:
        raise UserError("`--append` goes with `--image`", hint="nodes.yml has `arguments:` for each profile and node")
    if arguments.known_only and not arguments.nodes:
        raise UserError(
            "`--known-only` goes with `--nodes FILE`", hint="the entries there are the machines that are known"
        )
    image = checked_image(arguments.image) if arguments.image else ""
    return Settings(
        layout=cache_at(arguments).layout,
        nodes=arguments.nodes or for_all(image, checked_arguments(arguments.append)),
        state=state_of(arguments),
        builds=arguments.builds and arguments.builds.resolve(),
        ipxe=arguments.ipxe,
        address=address,
        operator=Operator(_token(arguments), tls=bool(arguments.tls_cert)),
        known_only=arguments.known_only,
        https=arguments.tls_port if arguments.tls_cert else 0,
    )


def _token(arguments: argparse.Namespace) -> str:
    """The operator's token; said once, when it is made."""
    from imagebuilder.serve.operator import token_in

    path = arguments.operator_token_file or token_file(arguments)
    token, is_new = token_in(path)
    _say(f"the operator's token is {token} (kept in {path})" if is_new else f"the operator's token is in {path}")
    return token


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"`{text}` is no port")
    return int(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
