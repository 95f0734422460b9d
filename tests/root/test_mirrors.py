"""Where packages come from: a cache before the mirror, a server without a port, a repository of one's own, pins."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builds import Site, artifacts, digest_of, write_tree
from imagebuilder.resolve.apt import host_targets
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.settings import Settings
from mirror import Key, Mirror, make_package, served, sign, write_suite

pytestmark = [pytest.mark.root, pytest.mark.network]

OVERLAY = ("--kind", "overlay", "--config-file", "vars/extra.yml")


def _content(overlay: Path, name: str) -> str:
    """A file of an overlay."""
    argv = ["bsdtar", "-xOf", str(overlay), f"./{name}"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True, slots=True)
class AptCacherNg:
    """A real apt-cacher-ng in front of the mirrors that this host uses."""

    address: str
    log: Path

    def packages(self, way: str) -> list[str]:
        """The package files that it fetched (`I`) or handed out (`O`), as its log has them."""
        rows = (line.split("|") for line in self.log.read_text().splitlines())
        return sorted(row[-1] for row in rows if row[1] == way and row[-1].endswith(".deb"))


@pytest.fixture
def apt_cacher_ng(tmp_path: Path) -> Iterator[AptCacherNg]:
    # Its version 3.7 does not listen on ports above 32767, where the kernel's own choice lies.
    port = next(port for port in range(31420, 32768) if not _answers(port))
    main, _, security = (line.split()[2] for line in sources_for(Settings(), host_targets(tmp_path)).lines)
    folder = tmp_path / "apt-cacher-ng"
    for name in ("conf", "cache", "log"):
        (folder / name).mkdir(parents=True)
    settings = {
        "CacheDir": folder / "cache",
        "LogDir": folder / "log",
        "PidFile": folder / "pid",
        "SocketPath": folder / "socket",
        "SupportDir": "/usr/lib/apt-cacher-ng",
        "BindAddress": "127.0.0.1",
        "Port": port,
        "VerboseLog": 1,
        "ForeGround": 1,
        "Remap-main": f"/debian ; {main}",
        "Remap-security": f"/debian-security ; {security}",
    }
    (folder / "conf/acng.conf").write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))
    with subprocess.Popen(["apt-cacher-ng", "-c", folder / "conf"], stdin=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 20
            while not _answers(port):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield AptCacherNg(f"127.0.0.1:{port}", folder / "log/apt-cacher.log")
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_second_build_has_its_packages_from_the_cache_that_apt_server_names(
    apt_cacher_ng: AptCacherNg, tmp_path: Path, built_images: Path
) -> None:
    write_tree(
        tmp_path / "tree",
        {
            "group_vars/on_imagebuild": f"apt_server: {apt_cacher_ng.address}\n"
            'build_artifact_path: "{{ playbook_dir }}/builds"\n',
            "vars/extra.yml": "image: {packages: [tree, file]}\n",
        },
    )
    (base,) = built_images.glob("base.*.squashfs.img")
    (tmp_path / "tree/builds").mkdir()
    shutil.copy(base, tmp_path / "tree/builds")

    def build(cache: str) -> str:
        site = Site(tmp_path / "tree", tmp_path / "tree/builds", tmp_path / cache)
        site.build(*OVERLAY)
        assert list(site.cache.glob("archives/tree_*.deb"))
        return digest_of(site.builds / "extra.overlay.cpio.gz")

    first = build("first")
    fetched = apt_cacher_ng.packages("I")
    assert len(fetched) >= 2
    assert apt_cacher_ng.packages("O") == fetched
    assert build("second") == first
    assert apt_cacher_ng.packages("I") == fetched
    assert apt_cacher_ng.packages("O") == sorted(fetched * 2)


def test_apt_server_without_a_port_is_a_web_server(
    mirror: Mirror, tmp_path: Path, mirror_cache: Path, small_images: Path
) -> None:
    with served(mirror.folder, "127.0.0.2", 80) as server:
        site = Mirror(server, mirror.folder, mirror.key).site(tmp_path, tmp_path / "cache")
        assert "apt_server: 127.0.0.2\n" in (site.tree / "group_vars/on_imagebuild").read_text()
        shutil.copytree(small_images, site.builds)
        site.build(*OVERLAY)
    assert server.packages() == {"sandwich_2.0_amd64.deb"}
    assert artifacts(site.builds) == artifacts(small_images)


def test_pinned_version_and_package_of_a_repository_of_ones_own_are_installed(
    mirror: Mirror, key: Key, tmp_path: Path, small_images: Path
) -> None:
    pickle = make_package(tmp_path, "pickle", "0.1", {"usr/share/pickle": b"sour\n"}, Depends="sandwich")
    sign(tmp_path / "web", "stable", write_suite(tmp_path / "web", "stable", [pickle]), key)
    with served(tmp_path / "web") as server:
        line = f"deb [signed-by={key.keyring}] http://{server.address} stable main"
        site = mirror.site(tmp_path / "tree", tmp_path / "cache", f"repository_lists: ['{line}']\n")
        extra = "image:\n  packages: [pickle, {package: sandwich, version: '1.0'}]\n"
        write_tree(site.tree, {"vars/extra.yml": extra})
        shutil.copytree(small_images, site.builds)
        site.build(*OVERLAY)
    assert server.packages() == {"pickle_0.1_amd64.deb"}
    overlay = site.builds / "extra.overlay.cpio.gz"
    assert _content(overlay, "usr/share/pickle") == "sour\n"
    assert _content(overlay, "usr/share/sandwich").startswith("1.0")
