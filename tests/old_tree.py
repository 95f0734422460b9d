"""The tree in the style of 2015 (root/tree_2015), as somebody has it who also has the vendor's package."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlsplit

from builds import Site
from imagebuilder.resolve.apt import host_date_options, host_targets
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.settings import Settings
from mirror import make_package

TREE = Path(__file__).parent / "root/tree_2015"
PACKAGE = "common/files/storcli_1.0_amd64.deb"


def old_site(folder: Path, cache: Path) -> Site:
    """A copy of the tree, its `apt_server` the mirror that this machine uses."""
    tree = folder / "old"
    shutil.copytree(TREE, tree)
    mirror = urlsplit(sources_for(Settings(), host_targets(cache), host_date_options()).mirror)
    settings = tree / "group_vars/on_imagebuild"
    if (mirror.scheme, mirror.path) == ("http", "/debian"):
        settings.write_text(settings.read_text().replace("deb.debian.org", mirror.netloc))
    (folder / "packages").mkdir()
    program = {"opt/MegaRAID/storcli/storcli64": b"#!/bin/sh\necho it runs\n"}
    package = make_package(folder / "packages", "storcli", "1.0", files=program)
    shutil.copy(package.file, tree / PACKAGE)
    return Site(tree, folder / "builds", cache)
