"""A tree of 2015 builds as it is and in today's form, and both ways come to the same files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from builds import PROGRAM, Site, artifacts
from old_tree import PACKAGE, old_site

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.timeout(900)]

Built = tuple[Site, str]


@pytest.fixture
def site(tmp_path: Path, package_cache: Path) -> Site:
    return old_site(tmp_path, package_cache)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory, images_of_2015: Built) -> dict[str, Path]:
    """What each artifact but the kernel holds, by the beginning of its name."""
    found = {}
    for path in images_of_2015[0].builds.glob("*.*"):
        target = tmp_path_factory.mktemp("unpacked") / "root"
        if path.name.startswith("vmlinuz"):
            continue
        squashfs = path.name.endswith(".squashfs.img")
        target.mkdir()
        argv = ["unsquashfs", "-quiet", "-no-progress", "-force", "-dest"] if squashfs else ["bsdtar", "-xpf"]
        argv += [str(target), str(path)] if squashfs else [str(path), "-C", str(target)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
        found[path.name.split(".")[0]] = target
    return found


def test_artifacts_have_the_names_that_the_tree_gives_them(images_of_2015: Built) -> None:
    names = sorted(re.sub(r"6\.1\.0-\d+-cloud-amd64", "KVER", name) for name in artifacts(images_of_2015[0].builds))
    assert names == [
        "base.bookworm.KVER.squashfs.img",
        "discovery.overlay.cpio.gz",
        "flash_vendor.overlay.cpio.gz",
        "initrd.img-KVER",
        "raid.overlay.cpio.gz",
        "vmlinuz-KVER",
    ]


def test_initrd_has_programs_of_the_manifest_and_of_the_roles_own_hook(unpacked: dict[str, Path]) -> None:
    root = unpacked["initrd"]
    assert (root / "etc/site").read_text() == "an initrd of 2015\n"
    for program in ("curl", "lspci"):
        done = subprocess.run(["chroot", root, f"/usr/bin/{program}", "--version"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert not list(root.rglob("*initramfs-tools*"))


def test_base_is_what_its_role_makes_of_it_but_for_the_agent(unpacked: dict[str, Path]) -> None:
    root = unpacked["base"]
    assert "127.0.0.1 monorail-micro" in (root / "etc/hosts").read_text()
    assert (root / "etc/sudoers.d/11-monorail-user").read_text() == "monorail ALL=(ALL) NOPASSWD:ALL\n"
    assert (root / "opt/downloads").stat().st_mode & 0o7777 == 0o777
    assert "monorail:x:" in (root / "etc/passwd").read_text()
    assert "bootstrap.js" not in (root / "etc/rc.local").read_text()
    assert not (root / "usr/bin/python3").exists()


def test_overlays_hold_packages_the_vendors_deb_and_what_a_role_does(unpacked: dict[str, Path]) -> None:
    assert (unpacked["discovery"] / "usr/sbin/dmidecode").exists()
    assert (unpacked["raid"] / "usr/bin/lsscsi").exists()
    assert "Package: storcli\n" in (unpacked["raid"] / "var/lib/dpkg/status").read_text()
    root = unpacked["flash_vendor"]
    assert (root / "usr/sbin/hdparm").exists() or (root / "sbin/hdparm").exists()
    assert (root / "usr/bin/lsusb").exists()
    assert "# example, on kernels from " in (root / "opt/rc.local.hooks").read_text()
    assert (root / "opt/example/vendor").read_text() == 'made for "example"\n'
    assert (root / "opt/example/built-on").read_text() == "Linux\n"
    assert (root / "opt/example/settings").stat().st_mode & 0o777 == 0o755


def test_build_tells_what_it_reads_as_something_else_and_which_versions_it_takes(images_of_2015: Built) -> None:
    said = images_of_2015[1]
    assert "vars/basefs.yml:5: `basefs_exclude_packages`; today without meaning" in said
    assert "tasks/main.yml:29: a script that replaces the boot path, `scripts/local`" in said
    assert re.search(r"vars/basefs\.yml:11: `less` 458-2 -> 590-", said)
    assert re.search(r"flash_overlay/tasks/main\.yml:10: `hdparm` 9\.43-1ubuntu3 -> 9\.65", said)
    assert re.search(r"`kernel_package` linux-image-3\.16\.0-25-cloud-amd64 -> linux-image-6\.1\.", said)
    for old in ("`sudo:`", "`include:` of playbooks", "a bare variable in `with_items:`"):
        assert said.count(f"{old}; today") == 1
    assert "TASK [provision_raid_overlay" not in said


def test_migrated_tree_builds_the_same_bytes_and_is_told_nothing(
    images_of_2015: Built, tmp_path: Path, package_cache: Path
) -> None:
    old, _ = images_of_2015
    site = Site(tmp_path / "new", tmp_path / "builds", package_cache)
    subprocess.run([PROGRAM, "migrate", old.tree, site.tree], check=True, capture_output=True)
    said = site.build("--repin")
    assert artifacts(site.builds) == artifacts(old.builds)
    assert "; today " not in said


def test_versions_of_another_suite_are_all_named_before_anything_is_built(site: Site) -> None:
    done = site.run()
    assert done.returncode == 2
    assert "error: 13 packages cannot be had" in done.stderr
    assert "there is no package `linux-image-3.16.0-25-cloud-amd64`" in done.stderr
    assert "vars/oem/raid_overlay.yml:6: `lsscsi` has no version `0.27-2`" in done.stderr
    assert "flash_overlay/tasks/main.yml:10: `hdparm` has no version `9.43-1ubuntu3`" in done.stderr
    assert re.search(r"group_vars/on_imagebuild:\d+: `usbutils` has no version `1:007-2ubuntu1`", done.stderr)
    assert "`--repin`" in done.stderr
    assert not site.builds.exists()


def test_vendors_package_is_missed_before_anything_is_built(site: Site) -> None:
    (site.tree / PACKAGE).unlink()
    done = site.run("--repin")
    assert done.returncode == 2
    assert f"vars/oem/raid_overlay.yml:1: the file `{PACKAGE}` is missing" in done.stderr
    assert not site.builds.exists()


@pytest.mark.parametrize("verb", ["build", "migrate"])
def test_syntax_without_a_modern_form_is_named_with_its_line(site: Site, verb: str) -> None:
    tasks = site.tree / "roles/oem/overlay/provision_flash_overlay/tasks/tool.yml"
    tasks.write_text(f"{tasks.read_text()}  only_if: '$tool'\n")
    argv = site.argv() if verb == "build" else [str(PROGRAM), "migrate", ".", str(site.builds)]
    done = subprocess.run(argv, cwd=site.tree, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"error: {tasks}:4: Ansible has no `only_if:` any more\nhint: write `when: a == b`" in done.stderr
    assert not site.builds.exists()


def test_task_that_fails_is_named_in_the_old_file(images_of_2015: Built, site: Site) -> None:
    old, _ = images_of_2015
    site.builds.mkdir()
    for base in old.builds.glob("base.*"):
        shutil.copy(base, site.builds)
    role = site.tree / "roles/oem/overlay/provision_flash_overlay/tasks/main.yml"
    role.write_text(role.read_text().replace("sudo: yes\n  file:", "sudo: yes\n  command: 'false' #"))
    done = site.run("--kind", "overlay", "--config-file", "vars/oem/flash.yml", "--repin")
    assert done.returncode == 1
    assert f"{role}:2: the task `provision_flash_overlay : Make a folder for the tools` failed" in done.stderr
