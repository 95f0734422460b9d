"""Trees that are wrong in a way that shows only to root, or when packages are known: exit 2, nothing built or left."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builds import PROGRAM, Site, traces, write_tree
from mirror import KERNEL, Mirror

pytestmark = pytest.mark.root

TREE = {
    "all.yml": "- import_playbook: common/overlay_wrapper.yml\n  vars: {config_file: vars/x.yml}\n",
    "vars/x.yml": "image: {packages: [less]}\n",
}


NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@pytest.fixture
def common() -> Iterator[Path]:
    """A folder that anybody may look into; pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def _build_as_nobody(folder: Path) -> subprocess.CompletedProcess[str]:
    argv: list[str | Path] = [*NOBODY, PROGRAM, "build", folder / "tree", "--cache", folder / "cache"]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")


def test_build_by_somebody_without_subordinate_ids_says_so_and_touches_nothing(common: Path) -> None:
    write_tree(common / "tree", TREE)
    before = Path("/proc/self/mounts").read_text()
    done = _build_as_nobody(common)
    assert (done.returncode, done.stdout) == (2, "")
    said, hint = done.stderr.splitlines()
    assert said.startswith("error: `imagebuilder build` mounts overlays and runs programs in a chroot: ")
    assert "a user namespace, which cannot be had: unshare: no line matching user" in said
    assert hint == "hint: run `sudo imagebuilder build ...`; or `imagebuilder doctor` says what the namespace lacks"
    assert os.listdir(common) == ["tree"]
    assert Path("/proc/self/mounts").read_text() == before


def test_wrong_tree_is_told_to_anybody(common: Path) -> None:
    write_tree(common / "tree", {**TREE, "vars/x.yml": "image: {packges: [less]}\n"})
    done = _build_as_nobody(common)
    assert done.returncode == 2
    assert f"error: {common}/tree/vars/x.yml:1: unknown key `packges`" in done.stderr


ELSEWHERE = f"{{tree}}/builds/elsewhere.bookworm.{KERNEL}.squashfs.img does not exist"
OVERLAY = "- import_playbook: common/overlay_wrapper.yml\n  vars: {config_file: vars/%s.yml}\n"
BAD: tuple[tuple[str, dict[str, str], str, str], ...] = (
    (
        "an overlay on a base that is not there",
        {"all.yml": OVERLAY % "extra", "vars/extra.yml": "image:\n  base: [elsewhere]\n"},
        f"{{tree}}/vars/extra.yml:2: the base `elsewhere` of `extra` is not in this playbook, and {ELSEWHERE}",
        "build it first, or add its entry to the playbook",
    ),
    (
        "an overlay on a base that has nearly this name",
        {"vars/extra.yml": "image:\n  base: bse\n"},
        "{tree}/vars/extra.yml:2: the base `bse` of `extra` is not in this playbook",
        "did you mean `base`?",
    ),
    (
        "two images that write one artifact",
        {
            "vars/extra.yml": "image:\noverlayfs_archive_name: same.cpio.gz\n",
            "vars/more.yml": "image:\noverlayfs_archive_name: same.cpio.gz\n",
            "all.yml": OVERLAY % "extra"
            + OVERLAY % "more"
            + "- import_playbook: common/basefs_wrapper.yml\n  vars: {config_file: vars/base.yml}\n",
        },
        "all.yml:3: `more` and `extra` (all.yml:1) both write the artifact `same.cpio.gz`",
        "give one of them another `name:`",
    ),
    (
        "a template that needs what nobody defined",
        {
            "vars/extra.yml": "image:\n  files:\n    - {src: motd.j2, dest: /etc/motd, template: true}\n",
            "motd.j2": "one\ntwo {{ nothing }}\n",
        },
        "{tree}/motd.j2:2: this template cannot be rendered: 'nothing' is undefined",
        "define the variable in group_vars/on_imagebuild",
    ),
)


@pytest.mark.network
@pytest.mark.parametrize(("name", "files", "message", "hint"), BAD, ids=[name for name, *_ in BAD])
def test_tree_that_cannot_be_built_is_refused_before_anything_is(
    mirror: Mirror, mirror_cache: Path, tmp_path: Path, name: str, files: dict[str, str], message: str, hint: str
) -> None:
    site = mirror.site(tmp_path / "tree", mirror_cache)
    write_tree(site.tree, files)
    done = site.run()
    assert done.returncode == 2, done.stderr
    error = done.stderr[done.stderr.index("\nerror: ") + 8 :]
    assert error.startswith(message.replace("{tree}", str(site.tree)))
    assert hint in error.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not site.builds.exists()
    assert not traces(str(site.tree))


@pytest.mark.network
def test_artifacts_of_earlier_builds_stay_as_they_are(
    mirror: Mirror, mirror_cache: Path, small_images: Path, tmp_path: Path
) -> None:
    site = mirror.site(tmp_path / "tree", mirror_cache)
    shutil.copytree(small_images, site.builds)
    before = {path.name: path.stat().st_mtime_ns for path in site.builds.iterdir()}
    write_tree(site.tree, {"vars/extra.yml": "image: {packages: [sandwich=99]}\n"})
    assert Site(site.tree, site.builds, site.cache, site.before).run().returncode == 2
    assert {path.name: path.stat().st_mtime_ns for path in site.builds.iterdir()} == before
