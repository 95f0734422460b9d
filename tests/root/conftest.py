"""A small, quick world for builds: a local mirror with what a minimal base needs, and a tree that is built from it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from builds import Site
from imagebuilder.resolve.apt import Apt, host_date_options, host_targets
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.settings import Settings
from initrd_jail import Image, Jail, make_image, make_jail
from mirror import KERNEL, Key, Mirror, Package, make_package, served, write_mirror

Ended = CompletedProcess[str]


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Key]:
    """The key that signs our own mirror."""
    with Key.made(tmp_path_factory.mktemp("gpg") / "home") as key:
        yield key


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> tuple[Package, ...]:
    """Debian's own packages of a minimal base, a kernel's name, and two versions of `sandwich`."""
    apt = Apt(sources_for(Settings(), host_targets(package_cache), host_date_options()), "amd64", package_cache)
    with apt.indexes():
        debs = apt.simulate(["?essential", "?priority(required)", "apt", "usr-is-merged"])
        apt.download(debs)
        records = apt.records([f"{deb.name}={deb.version}" for deb in debs])
    folder = tmp_path_factory.mktemp("packages")
    own = [make_package(folder, "linux-image-amd64", "6.1", Depends=f"linux-image-{KERNEL}")]
    own += [make_package(folder, f"linux-image-{KERNEL}", "6.1")]
    own += [
        make_package(folder, "sandwich", v, files={"usr/share/sandwich": v.encode() * 9999}) for v in ("1.0", "2.0")
    ]
    own += [make_package(folder, "diet", "1.0", Conflicts="sandwich")]
    return (*own, *(Package(record.fields, apt.archives / record.deb.file_name) for record in records))


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory, packages: tuple[Package, ...], key: Key) -> Iterator[Mirror]:
    """A mirror of our own, on a port."""
    folder = tmp_path_factory.mktemp("mirror")
    write_mirror(folder, packages, key)
    with served(folder) as server:
        yield Mirror(server, folder, key)


@pytest.fixture(scope="session")
def mirror_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package cache of builds from our own mirror."""
    return tmp_path_factory.mktemp("mirror-cache")


@pytest.fixture(scope="session")
def two_at_once(tmp_path_factory: pytest.TempPathFactory, mirror: Mirror) -> tuple[Site, list[Ended], list[str]]:
    """The small tree, built by two programs at the same time from an empty package cache: how both ended.

    Last come the paths that they asked of the mirror, which other tests ask later as well.
    """
    before = len(mirror.server.asked)
    site = mirror.site(tmp_path_factory.mktemp("small"), tmp_path_factory.mktemp("empty-cache"))
    with ThreadPoolExecutor() as pool:
        ended = list(pool.map(lambda _: site.run(), range(2)))
    return site, ended, mirror.server.asked[before:]


@pytest.fixture(scope="session")
def small_images(two_at_once: tuple[Site, list[Ended], list[str]]) -> Path:
    """The artifact folder of an undisturbed build of the small tree."""
    site, _, _ = two_at_once
    return site.builds


@pytest.fixture(scope="session")
def initrd_jail(tmp_path_factory: pytest.TempPathFactory) -> Jail:
    """A root like the initrd's, with trusted keys, to run /init in."""
    return make_jail(tmp_path_factory.mktemp("jail") / "root")


@pytest.fixture(scope="session")
def initrd_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """A small signed image."""
    return make_image(tmp_path_factory.mktemp("image"))
