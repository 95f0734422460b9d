"""Locks on a mirror that moves on: what is pinned stays, nothing is asked twice, and what cannot be had is named."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from builds import Site, artifacts, digest_of, write_tree
from mirror import Key, Mirror, Package, make_package, served, write_mirror

Ended = subprocess.CompletedProcess[str]
pytestmark = [pytest.mark.root, pytest.mark.network]

OVERLAY = ("--kind", "overlay", "--config-file", "vars/extra.yml")
MOMENT = "20240603T000000Z"


@pytest.fixture(scope="module")
def without_sandwich(packages: tuple[Package, ...]) -> tuple[Package, ...]:
    """All packages of the mirror but both versions of `sandwich`."""
    return tuple(package for package in packages if not package.file.name.startswith("sandwich"))


@pytest.fixture(scope="module")
def sandwich(packages: tuple[Package, ...]) -> dict[str, Package]:
    """Both by their version."""
    found = [package for package in packages if package.file.name.startswith("sandwich")]
    return {package.file.name.split("_")[1]: package for package in found}


@contextmanager
def _mirror(folder: Path, key: Key, packages: Sequence[Package]) -> Iterator[Mirror]:
    write_mirror(folder, packages, key)
    with served(folder) as server:
        yield Mirror(server, folder, key)


def _lock(site: Site) -> Any:
    return json.loads((site.tree / "imagebuilder.lock").read_text())


def _locked(site: Site, image: str = "extra") -> list[str]:
    """Name and version of an image's packages."""
    return [" ".join(line.split()[:2]) for line in _lock(site)["images"][image]["install"]]


def _content(site: Site) -> bytes:
    """What the overlay has of `sandwich`: its version, over and over."""
    argv = ["bsdtar", "-xOf", str(site.builds / "extra.overlay.cpio.gz"), "./usr/share/sandwich"]
    return subprocess.run(argv, check=True, capture_output=True).stdout


def _refused(site: Site, *arguments: str) -> str:
    done = site.run(*arguments)
    assert done.returncode == 2, done.stderr
    return done.stderr[done.stderr.index("error: ") :]


def test_locked_build_asks_the_mirror_nothing_and_makes_what_an_unlocked_one_makes(
    mirror: Mirror, tmp_path: Path, two_at_once: tuple[Site, list[Ended], list[str]]
) -> None:
    unlocked, _, _ = two_at_once
    site = mirror.site(tmp_path, unlocked.cache)
    assert site.lock() == ""
    asked = list(mirror.server.asked)
    said = site.build()
    assert "packages: " not in said  # nothing has to be made
    assert "imagebuilder.lock" not in said
    assert artifacts(site.builds) == artifacts(unlocked.builds)

    assert "packages: fetch: done" in site.build("-e", "marker=other")
    assert artifacts(site.builds) != artifacts(unlocked.builds)
    assert mirror.server.asked == asked


def test_build_without_a_lock_says_that_it_takes_what_there_is(
    mirror: Mirror, tmp_path: Path, two_at_once: tuple[Site, list[Ended], list[str]]
) -> None:
    site = mirror.site(tmp_path, two_at_once[0].cache)
    assert "note: the tree has no imagebuilder.lock" in site.build()
    assert not (site.tree / "imagebuilder.lock").exists()


def test_lock_is_the_same_bytes_from_any_mirror_and_at_any_time(mirror: Mirror, tmp_path: Path) -> None:
    with served(mirror.folder, "127.0.0.2") as other:
        sites = [
            Mirror(server, mirror.folder, mirror.key).site(tmp_path / name, tmp_path / f"{name}-cache")
            for name, server in (("one", mirror.server), ("two", other))
        ]
        for site in sites:
            site.lock()
        texts = [(site.tree / "imagebuilder.lock").read_text() for site in sites]
        assert texts[0] == texts[1]
        assert "127.0.0" not in texts[0]
        assert _lock(sites[0])["releases"].keys() == {"bookworm", "bookworm-updates", "bookworm-security"}
        asked = len(other.asked)
        assert sites[1].lock() == ""
        assert len(other.asked) == asked
        assert (sites[1].tree / "imagebuilder.lock").read_text() == texts[1]


def test_stale_lock_stops_the_build_before_anything_and_is_refreshed_on_demand(
    mirror: Mirror, tmp_path: Path, mirror_cache: Path, small_images: Path
) -> None:
    site = mirror.site(tmp_path, mirror_cache)
    site.lock()
    write_tree(
        site.tree,
        {"vars/extra.yml": "image:\n  packages:\n    - sandwich=1.0\n  files: [{src: f, dest: /f}]\n", "f": ""},
    )
    asked = len(mirror.server.asked)
    said = _refused(site).splitlines()
    assert said[0].endswith("imagebuilder.lock is out of date: 2 things have changed since it was written:")
    assert said[1].endswith("/vars/extra.yml:3: `packages`: `sandwich=1.0` new; `sandwich` gone")
    assert said[2].endswith("/vars/extra.yml:4: `files`: `f` new")
    assert said[3].startswith("hint: `imagebuilder lock` brings it up to date")
    assert len(mirror.server.asked) == asked
    assert not site.builds.exists()
    assert site.run("--check", verb="lock").returncode == 1

    shutil.copytree(small_images, site.builds)
    assert site.lock() == "extra\n  sandwich 2.0 -> 1.0\n"
    assert site.run("--check", verb="lock").returncode == 0
    site.build(*OVERLAY)
    assert _content(site).startswith(b"1.0")


def test_versions_stay_until_an_upgrade_even_when_only_this_machine_has_them(
    tmp_path: Path, key: Key, without_sandwich: tuple[Package, ...], sandwich: dict[str, Package]
) -> None:
    pickle = make_package(tmp_path, "pickle", "0.1", Depends="sandwich")
    with _mirror(tmp_path / "mirror", key, [*without_sandwich, sandwich["1.0"]]) as mirror:
        site = mirror.site(tmp_path / "tree", tmp_path / "cache")
        site.lock()
        epoch = _lock(site)["epoch"]
        later = {"Date": "Tue, 04 Jun 2024 00:00:00 +0000"}
        write_mirror(mirror.folder, [*without_sandwich, *sandwich.values(), pickle], key, **later)
        assert site.lock() == ""
        assert _locked(site) == ["sandwich 1.0"]

        write_tree(site.tree, {"vars/extra.yml": "image:\n  packages: [sandwich, pickle]\n"})
        assert site.lock() == "extra\n  + pickle 0.1\n"
        assert _locked(site) == ["pickle 0.1", "sandwich 1.0"]
        assert _lock(site)["epoch"] == epoch  # or every image would be built again

        shutil.copy(sandwich["1.0"].file, site.cache / "archives")
        write_mirror(mirror.folder, [*without_sandwich, sandwich["2.0"], pickle], key, **later)
        write_tree(site.tree, {"vars/extra.yml": "image:\n  packages: [pickle, sandwich=1.0]\n"})
        assert site.lock() == ""
        write_tree(site.tree, {"vars/extra.yml": "image:\n  packages: [pickle]\n"})
        assert site.lock() == ""
        assert site.lock("--upgrade", "dash", "pickle") == ""
        assert _locked(site) == ["pickle 0.1", "sandwich 1.0"]

        rows = json.loads(site.lock("--json", "--upgrade", "sandwich"))["changes"]
        assert rows == [{"image": "extra", "package": "sandwich", "before": "1.0", "after": "2.0"}]
        assert _lock(site)["epoch"] == epoch
        assert site.lock("--upgrade") == ""
        assert _lock(site)["epoch"] == epoch + 86400


def test_version_that_is_gone_is_named_with_the_ways_out(
    tmp_path: Path, key: Key, without_sandwich: tuple[Package, ...], sandwich: dict[str, Package], small_images: Path
) -> None:
    with _mirror(tmp_path / "mirror", key, [*without_sandwich, sandwich["1.0"]]) as mirror:
        site = mirror.site(tmp_path / "tree", tmp_path / "cache")
        shutil.copytree(small_images, site.builds)
        site.lock()
        write_mirror(mirror.folder, [*without_sandwich, sandwich["2.0"]], key)
        said = _refused(site, *OVERLAY)
        assert f"http://{mirror.server.address}/debian no longer has what imagebuilder.lock names" in said
        assert "\n`sandwich` 1.0 (amd64)\n" in said
        assert "hint: `imagebuilder lock --upgrade sandwich`" in said
        assert "`snapshot: " in said
        assert site.lock("--upgrade", "sandwich") == "extra\n  sandwich 1.0 -> 2.0\n"
        site.build(*OVERLAY)
    assert digest_of(site.builds / "extra.overlay.cpio.gz") == digest_of(small_images / "extra.overlay.cpio.gz")


def test_locked_version_is_installed_although_the_indexes_on_this_machine_have_moved_on(
    tmp_path: Path, key: Key, without_sandwich: tuple[Package, ...], sandwich: dict[str, Package], small_images: Path
) -> None:
    with _mirror(tmp_path / "mirror", key, [*without_sandwich, sandwich["1.0"]]) as mirror:
        site = mirror.site(tmp_path / "tree", tmp_path / "cache")
        shutil.copytree(small_images, site.builds)
        site.lock()
        shutil.copy(sandwich["1.0"].file, site.cache / "archives")
        write_mirror(mirror.folder, [*without_sandwich, sandwich["2.0"]], key)
        another = mirror.site(tmp_path / "another", site.cache)
        another.lock()
        assert _locked(another) == ["sandwich 2.0"]
        site.build(*OVERLAY)
        assert mirror.server.packages() == set()
        assert _content(site).startswith(b"1.0")
        by_apt = site.run(*OVERLAY, "-e", "bootstrap=mmdebstrap")
    assert by_apt.returncode == 1
    assert "apt has installed other versions than the lock says:\n`sandwich` 2.0 instead of 1.0" in by_apt.stderr


def test_upgrade_of_a_package_brings_what_it_needs_and_leaves_the_rest(
    tmp_path: Path, key: Key, without_sandwich: tuple[Package, ...]
) -> None:
    def versions(number: str) -> list[Package]:
        bread = make_package(tmp_path, "bread", number)
        return [
            bread,
            make_package(tmp_path, "toast", number, Depends=f"bread (= {number})"),
            make_package(tmp_path, "jam", number),
        ]

    with _mirror(tmp_path / "mirror", key, [*without_sandwich, *versions("1")]) as mirror:
        site = mirror.site(tmp_path / "tree", tmp_path / "cache")
        write_tree(site.tree, {"vars/extra.yml": "image:\n  packages: [toast, jam]\n"})
        site.lock()
        for name in ("bread", "toast", "jam"):
            shutil.copy(tmp_path / f"{name}_1_amd64.deb", site.cache / "archives")
        write_mirror(mirror.folder, [*without_sandwich, *versions("2")], key)
        assert site.lock("--upgrade", "toast") == "extra\n  bread 1 -> 2\n  toast 1 -> 2\n"
        done = site.run("--upgrade", "toats", verb="lock")
    assert done.returncode == 2
    assert "there is no package `toats` in imagebuilder.lock\nhint: did you mean `toast`?" in done.stderr


def test_snapshot_is_built_years_later_although_its_signatures_have_run_out(
    tmp_path: Path, key: Key, packages: tuple[Package, ...], small_images: Path
) -> None:
    write_mirror(tmp_path / "then", packages, key, **{"Valid-Until": "Mon, 10 Jun 2024 00:00:00 UTC"})
    for name in ("debian", "debian-security"):
        (tmp_path / "web/archive" / name).mkdir(parents=True)
        (tmp_path / "web/archive" / name / MOMENT).symlink_to(tmp_path / "then" / name)
    with served(tmp_path / "web") as server:
        site = Mirror(server, tmp_path / "web", key).site(
            tmp_path / "tree", tmp_path / "cache", f"snapshot: {MOMENT}\n"
        )
        site.lock()
        shutil.copytree(small_images, site.builds)
        site.build(*OVERLAY)
    assert _lock(site)["settings"]["snapshot"] == MOMENT
    assert artifacts(site.builds) == artifacts(small_images)
    said = _refused(site, *OVERLAY, "-e", "snapshot=20250101T000000Z")
    assert f"/group_vars/on_imagebuild:3: `snapshot`: locked `{MOMENT}`, now `20250101T000000Z`" in said
