"""An overlay that takes a package of its base away, or has another version of it, is made with apt."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from builds import Site, write_tree
from mirror import Mirror

pytestmark = [pytest.mark.root, pytest.mark.network]

OVERLAY = """\
- import_playbook: common/overlay_wrapper.yml
  vars: {{config_file: vars/{}.yml}}
"""
FILES = {
    "all.yml": "- import_playbook: common/basefs_wrapper.yml\n  vars: {config_file: vars/base.yml}\n"
    + "".join(map(OVERLAY.format, ("newer", "without"))),
    "vars/base.yml": "image: {agent: false, packages: [sandwich=1.0]}\n",
    "vars/newer.yml": "image: {packages: [sandwich=2.0]}\n",
    "vars/without.yml": "image: {packages: [diet]}\n",
}


def _content(site: Site, overlay: str, path: str) -> str:
    archive = site.builds / f"{overlay}.overlay.cpio.gz"
    done = subprocess.run(["bsdtar", "-xOf", archive, f"./{path}"], capture_output=True, text=True, check=True)
    return done.stdout


def _states(site: Site, overlay: str) -> set[str]:
    stanzas = _content(site, overlay, "var/lib/dpkg/status").split("\n\n")
    own = [stanza.splitlines() for stanza in stanzas if stanza.startswith(("Package: sandwich\n", "Package: diet\n"))]
    return {
        " ".join(line.split(": ")[1] for line in lines if line[:7] in ("Package", "Status:", "Version"))
        for lines in own
    }


def test_what_is_not_only_added_goes_through_apt(mirror: Mirror, mirror_cache: Path, tmp_path: Path) -> None:
    site = mirror.site(tmp_path, mirror_cache)
    write_tree(site.tree, FILES)
    said = site.build()
    assert "newer: provision: apt installs these packages: `sandwich` is known to dpkg in version 1.0" in said
    assert "without: provision: apt installs these packages: `diet` cannot be beside sandwich" in said
    assert "base: bootstrap: mmdebstrap" not in said
    assert _states(site, "newer") == {"sandwich install ok installed 2.0"}
    assert _content(site, "newer", "usr/share/sandwich").startswith("2.0")
    assert _states(site, "without") == {"diet install ok installed 1.0"}
