"""What a boot loader is told: an iPXE script or a GRUB configuration that starts one image on one node.

Kernel and initrd are named by digest, and so is the manifest: a channel that moves meanwhile gives a node
the whole old image or the whole new one.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from string import Template

from imagebuilder.errors import UserError
from imagebuilder.serve.catalog import Catalog
from imagebuilder.serve.identity import Identity
from imagebuilder.serve.nodelayer.layer import NodeLayer
from imagebuilder.store.index import full_name
from imagebuilder.store.layout import Blob
from imagebuilder.store.manifest import INITRD, KERNEL

_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_TEMPLATES = Path(__file__).parent / "templates"


class Loader(Enum):
    """A boot loader, by the end of the names of its templates."""

    IPXE = ".ipxe"
    GRUB = ".grub.cfg"


@dataclass(frozen=True, slots=True)
class Start:
    """An image to start: its full name, its manifest, kernel and initrd, more kernel arguments; by which profile.

    `layer` is the node's own, if its profile has one.
    """

    name: str
    manifest: Blob
    kernel: Blob
    initrd: Blob
    arguments: str = ""
    profile: str = ""
    layer: NodeLayer | None = None


def checked_image(given: str) -> str:
    """`IMAGE:TAG`, or `IMAGE@sha256:HEX`, for what a user wrote. Raises UserError for what is neither."""
    image, at, digest = given.partition("@")
    if not at:
        return full_name(given)
    full_name(image)
    if ":" in image or not _DIGEST.fullmatch(digest):
        raise UserError(f"`{given}` is no image with a digest", hint="write IMAGE@sha256: and 64 hexadecimal digits")
    return given


def checked_arguments(given: str) -> str:
    """Kernel arguments as a user wrote them. Raises UserError for what a boot script cannot carry."""
    if not given.isprintable() or not given.isascii():
        raise UserError("kernel arguments are one line of ASCII letters")
    if found := {"&&", "||"} & set(given.split()):
        raise UserError(f"iPXE would read `{min(found)}` among kernel arguments as an operator of its own")
    return given


def start_of(catalog: Catalog, name: str, arguments: str) -> Start:
    """What `name` (`IMAGE:TAG` or `IMAGE@sha256:HEX`) stands for. Raises UserError when the store does not have it."""
    manifest = catalog.manifest(name)
    if manifest is None:
        known = ", ".join(f"`{known}`" for known in sorted(catalog.names)) or "nothing yet"
        raise UserError(f"the store has no `{name}`", hint=f"it has {known}")
    layers = catalog.images[manifest.sha256]
    return Start(name, manifest, layers.of_type(KERNEL).blob, layers.of_type(INITRD).blob, arguments)


def kernel_arguments(start: Start, server: str, identity: Identity) -> list[str]:
    """The words of the kernel command line of a node that is served by `server` (HOST:PORT)."""
    image = start.name.partition("@")[0].partition(":")[0]
    words = [f"MANIFEST=/v2/{image}/manifests/{start.manifest.digest}", f"API_CB={server}"]
    if identity.mac:
        words.append(f"BOOTIF=01-{identity.mac.replace(':', '-')}")
    return [*words, *start.arguments.split()]


def boot_script(loader: Loader, start: Start, server: str, identity: Identity) -> str:
    """What starts `start` on the node."""
    words = kernel_arguments(start, server, identity)
    if loader is Loader.GRUB:
        words = [shlex.quote(word) for word in words]
    return _filled(
        "boot",
        loader,
        about=f"{identity}: {start.name} {start.manifest.digest}",
        name=start.name,
        server=server,
        kernel=start.kernel.sha256,
        initrd=start.initrd.sha256,
        arguments=" ".join(words),
    )


def asking_script(loader: Loader, server: str) -> str:
    """What has a node say who it is and ask again."""
    return _filled("ask", loader, server=server)


def refusing_script(loader: Loader, server: str, reason: str) -> str:
    """What shows `reason` on the node's console, and has it ask again after a while."""
    # No quotes, expansions or operators of either loader.
    harmless = "".join(
        letter for letter in reason if letter.isascii() and letter.isprintable() and letter not in "'$&|"
    )
    return _filled("refuse", loader, server=server, reason=harmless)


def _filled(what: str, loader: Loader, **values: str) -> str:
    return Template((_TEMPLATES / (what + loader.value)).read_text(encoding="utf-8")).substitute(values)
