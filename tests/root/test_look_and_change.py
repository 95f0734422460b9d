"""`whence` and `shell IMAGE` on images that were built."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from dataclasses import replace
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
def site(
    two_at_once: tuple[Site, list[subprocess.CompletedProcess[str]], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Site:
    """The small tree in another place, with another overlay, built."""
    done, _, _ = two_at_once
    tree = tmp_path_factory.mktemp("look")
    names = ("group_vars/on_imagebuild", "vars/base.yml", "all.yml")
    files = {name: (done.tree / name).read_text().replace("extra.yml", "whence.yml") for name in names}
    write_tree(tree, {**files, "vars/whence.yml": _CONFIG})
    site = replace(done, tree=tree, builds=tree / "builds")
    site.build()
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


def _base(site: Site) -> str:
    return str(next(site.builds.glob("base.*")))


def _shell(site: Site, commands: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = site.argv(*arguments, verb="shell")
    return subprocess.run(argv, input=commands, cwd=site.tree, capture_output=True, text=True, check=False)


def test_shell_in_an_image_becomes_an_overlay_and_a_config_file(site: Site, tmp_path: Path) -> None:
    commands = (
        "echo hand >/etc/by-hand; chmod 600 /etc/by-hand; rm /etc/issue; rm -r /opt; mkdir /opt; touch /opt/x /tmp/y"
    )
    place = ("--folder", str(tmp_path), "--tree", str(tmp_path))
    done = _shell(site, f"{commands}; exit 3\n", _base(site), "--save", "mine", *place)
    assert done.returncode == 3, done.stderr
    assert done.stderr.splitlines()[:4] == ["3 paths changed", "  + /etc/by-hand", "  - /etc/issue", "  + /opt/x"]
    overlay = str(tmp_path / "mine.overlay.cpio.gz")
    said = json.loads(site.run(overlay, "--base", _base(site), "--json", verb="inspect").stdout)
    paths = {line["path"]: line["what"] for line in said["entries"]}
    assert paths["/etc/by-hand"].startswith("file 0600 0:0 ")
    assert paths["/etc/issue"] == "whiteout"
    assert "/tmp" not in paths
    assert (tmp_path / "files/mine/etc/by-hand").read_text() == "hand\n"
    assert "rm -rf /etc/issue" in (tmp_path / "vars/mine.yml").read_text()
    assert not list(site.cache.glob("shells/*/upper"))

    taken = _shell(site, "", _base(site), "--save", "mine", *place)
    assert (taken.returncode, "is there already" in taken.stderr) == (2, True)
    assert _shell(site, "test ! -e /etc/by-hand\n", _base(site)).returncode == 0


def test_upperdir_of_a_node_becomes_an_overlay(site: Site, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    for name in ("etc", "var/log", "opt"):
        (upper / name).mkdir(parents=True)
    (upper / "etc/from-node").write_text("x")
    (upper / "var/log/syslog").write_text("x")
    os.setxattr(upper / "opt", "trusted.overlay.opaque", b"y")
    place = ("--folder", str(tmp_path), "--tree", str(tmp_path), "--upper", str(upper), "--on", _base(site))
    done = site.run("mine", *place, verb="capture")
    assert done.returncode == 0, done.stderr
    said = json.loads(site.run(str(tmp_path / "mine.overlay.cpio.gz"), "--json", verb="inspect").stdout)
    assert [line["path"] for line in said["entries"]] == ["/", "/etc", "/etc/from-node"]

    os.mknod(upper / "disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))
    refused = site.run("other", *place, verb="capture")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: /disk is a device node")
    assert not (tmp_path / "other.overlay.cpio.gz").exists()
    assert not (tmp_path / "vars/other.yml").exists()
