"""`whence` and `shell IMAGE` on images that were built."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from builds import Site, write_tree

pytestmark = [pytest.mark.root, pytest.mark.network]

_CONFIG = """\
image:
  packages: [sandwich]
  files: [{dest: /etc/marker, content: a}]
  run:
    - echo one >/etc/one; echo x >>/etc/marker
    - echo two >/etc/two; rm /etc/issue
"""


@pytest.fixture(scope="module")
def site(two_at_once: tuple[Site, list[subprocess.CompletedProcess[str]], list[str]]) -> Site:
    """The small tree with another overlay, built."""
    site, _, _ = two_at_once
    playbook = (site.tree / "all.yml").read_text().replace("extra.yml", "whence.yml")
    write_tree(site.tree, {"vars/whence.yml": _CONFIG, "whence_all.yml": playbook})
    site.build("whence_all.yml")
    return site


def _layers(site: Site, *overlays: Path) -> list[str]:
    (base,) = site.builds.glob("base.*")
    return ["--overlay", str(base), *map(str, overlays)]


WHENCE: tuple[tuple[str, list[str], list[str], int], ...] = (
    ("/usr/share/sandwich", ["packages"], ["sandwich"], 0),
    ("/etc/marker", ["run: echo one >/etc/one; echo x >>/etc/marker"], [""], 0),
    ("/etc/two", ["run: echo two >/etc/two; rm /etc/issue"], [""], 0),
    ("/etc/issue", [""], ["base-files"], 1),
    ("/nothing", [], [], 1),
)


@pytest.mark.parametrize(("path", "parts", "owners", "status"), WHENCE, ids=[case[0] for case in WHENCE])
def test_path_is_told_by_what_wrote_it(site: Site, path: str, parts: list[str], owners: list[str], status: int) -> None:
    done = site.run(path, "--json", *_layers(site, site.builds / "whence.overlay.cpio.gz"), verb="whence")
    said = json.loads(done.stdout)["layers"]
    found = [place for place in said if place["layer"].startswith("whence")]
    assert [(place["part"], place["package"]) for place in found] == list(zip(parts, owners, strict=True))
    assert {place["step"] for place in found} <= {"whence: provision"}
    assert done.returncode == status


def test_file_of_the_base_is_told_by_package_and_step(site: Site) -> None:
    done = site.run("/usr/bin/sed", *_layers(site), verb="whence")
    lines = [line.split(None, 1) for line in done.stdout.splitlines()]
    assert ["step", "base: bootstrap"] in lines
    assert ["package", "sed"] in lines
