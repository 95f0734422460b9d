"""`ansible-playbook` in an image tree and `imagebuilder build` make the same files, bit for bit.

Nothing may differ: every artifact carries the time of the mirror's newest
Release file, and the one program that both ways call does the work.
"""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from builds import PROGRAM, Site, artifacts, default_site, fresh_cache

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(900)]

CACHE = "/var/cache/on-imagebuilder"
BASE = "example.base.squashfs.img"


def _play(site: Site, playbook: str) -> None:
    """Build with `ansible-playbook`, which takes packages from the machine's own cache: here, the session's."""
    script = f'mkdir -p {CACHE} && mount --bind "$0" {CACHE} && exec "$@"'
    with_cache = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(site.cache)]
    argv = [*with_cache, str(PROGRAM.with_name("ansible-playbook")), "-i", "hosts", playbook]
    done = subprocess.run(argv, cwd=site.tree, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr


def _listing(artifact: Path) -> list[str]:
    """The files that an artifact holds, with owners, modes, sizes and times; a kernel has none."""
    if artifact.name.startswith("vmlinuz"):
        return []
    argv = ["unsquashfs", "-lln"] if artifact.name.endswith(".squashfs.img") else ["bsdtar", "--numeric-owner", "-tvf"]
    return subprocess.run([*argv, artifact], check=True, capture_output=True, text=True).stdout.splitlines()


def _differences(ours: Path, theirs: Path) -> list[str]:
    """What differs between two artifact folders, in the names that both have: files first, then bytes."""
    first, second = artifacts(ours), artifacts(theirs)
    different = [name for name in sorted(first.keys() & second.keys()) if first[name] != second[name]]
    lines = [f"{name}: {line}" for name in different for line in _unequal(ours / name, theirs / name)]
    return [*lines, *different]


def _unequal(ours: Path, theirs: Path) -> list[str]:
    return sorted(set(_listing(ours)) ^ set(_listing(theirs)))


def test_the_default_playbook(built_images: Path, tmp_path: Path, package_cache: Path) -> None:
    site = default_site(tmp_path, fresh_cache(tmp_path / "cache", package_cache))
    _play(site, "all.yml")
    assert _differences(built_images, site.builds) == []
    missing = artifacts(built_images).keys() - artifacts(site.builds).keys()
    assert {name.split("-")[0] for name in missing} == {"vmlinuz", "initrd.img"}
    assert all("-cloud-" in name for name in missing)


def test_the_example_playbook_on_a_base_that_is_there(built_images: Path, tmp_path: Path, package_cache: Path) -> None:
    # Neither may find done what the other did.
    caches = {way: fresh_cache(tmp_path / f"{way}-cache", package_cache) for way in ("ours", "theirs")}
    ours, theirs = (default_site(tmp_path / way, cache) for way, cache in caches.items())
    for site in (ours, theirs):
        entries = yaml.safe_load((site.tree / "example.yml").read_text())
        kept = [entry for entry in entries if "basefs" not in entry["import_playbook"]]
        assert len(kept) == len(entries) - 1
        (site.tree / "example.yml").write_text(yaml.safe_dump(kept))
        site.builds.mkdir()
        (base,) = built_images.glob("base.*.squashfs.img")
        shutil.copy(base, site.builds / BASE)
    with ThreadPoolExecutor() as pool:
        played = pool.submit(_play, theirs, "example.yml")
        ours.build("example.yml")
        played.result()
    (ours.builds / BASE).unlink()
    (theirs.builds / BASE).unlink()
    assert len(artifacts(ours.builds)) == 4
    assert artifacts(ours.builds).keys() == artifacts(theirs.builds).keys()
    assert _differences(ours.builds, theirs.builds) == []
