"""The rules of the test suite: which tests need what, in which order they run, and that nothing is skipped in CI."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:  # the suite's own rules are tested with this file alone
    from builds import Site

_TESTS = Path(__file__).parent
_TIERS = ("house", "unit", "golden", "web", "root", "boot")
_BOOT_TIMEOUT = 900
_BUILDS = {"built_images", "images_of_2015"}
_IN_CI = os.environ.get("CI") == "true"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap tests first, so that a broken tree says so within seconds; boots and builds get more time than the rest."""
    items.sort(key=_tier)
    for item in items:
        long = item.get_closest_marker("boot") or _BUILDS & {*getattr(item, "fixturenames", ())}
        if long and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_BOOT_TIMEOUT))


def _tier(item: pytest.Item) -> int:
    tiers = [number for number, folder in enumerate(_TIERS) if item.path.is_relative_to(_TESTS / folder)]
    return tiers[0] if tiers else len(_TIERS)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Tests marked `root` say what they need instead of failing in the middle."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that skips itself has failed: a gap must be seen."""
    report = yield
    if _IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole module that skips itself while it is imported."""
    report = yield
    if _IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def package_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Downloaded packages, for all builds of the session; IMAGEBUILDER_TEST_CACHE names a folder to keep them in."""
    kept = os.environ.get("IMAGEBUILDER_TEST_CACHE")
    return Path(kept).resolve() if kept else tmp_path_factory.mktemp("package-cache")


@pytest.fixture(scope="session")
def built_images(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> Path:
    """The artifact folder of a real build: all of the default tree, and the initrd for virtual machines.

    IMAGEBUILDER_TEST_IMAGES names the artifact folder of an earlier session to do with.
    """
    from builds import default_site

    earlier = os.environ.get("IMAGEBUILDER_TEST_IMAGES")
    if earlier:
        return Path(earlier).resolve()
    site = default_site(tmp_path_factory.mktemp("images"), package_cache)
    site.build("everything.yml")
    return site.builds


@pytest.fixture(scope="session")
def base_tree(tmp_path_factory: pytest.TempPathFactory, built_images: Path) -> Path:
    """The default tree's base as a folder: bookworm with systemd, without Python and, for roles' sake, without sudo."""
    tree = tmp_path_factory.mktemp("base") / "tree"
    (image,) = built_images.glob("base.*.squashfs.img")
    subprocess.run(["unsquashfs", "-quiet", "-no-progress", "-dest", tree, image], check=True)
    (tree / "usr/bin/sudo").unlink()
    return tree


@pytest.fixture(scope="session")
def images_of_2015(tmp_path_factory: pytest.TempPathFactory, package_cache: Path) -> tuple[Site, str]:
    """The tree of 2015, built as it is with the newest packages, and what the build said."""
    from old_tree import old_site

    site = old_site(tmp_path_factory.mktemp("site-2015"), package_cache)
    return site, site.build("--repin")
