"""From requests to exact packages: what apt is asked, on top of what, and what is refused before any step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from image_tree import BASE, OVERLAY, read_tree
from imagebuilder.engine.resolve import Kept, resolve
from imagebuilder.errors import CommandError, PackageError, SpecError
from imagebuilder.resolve.apt import Apt, Record
from imagebuilder.resolve.deb import Deb
from imagebuilder.resolve.resolution import ImagePackages, Kernel, Resolution
from imagebuilder.resolve.sources import sources_for
from imagebuilder.spec.settings import Settings

KVER = "6.1.0-35-amd64"
INDEX: Mapping[str, str] = {
    "linux-image-amd64": f"linux-image-{KVER} (= 6.1)",
    f"linux-image-{KVER}": "kmod",
    "linux-image-generic": "linux-image-6.8.0-31-generic, linux-modules-extra-6.8.0-31-generic",
    "linux-image-6.8.0-31-generic": "kmod, linux-modules-6.8.0-31-generic",
    "linux-modules-6.8.0-31-generic": "",
    "usr-is-merged": "",
    **dict.fromkeys(
        ("less", "lshw", "lsscsi", "pciutils", "busybox-static", "python3", "sudo", "firmware-realtek"), ""
    ),
}
"""Name -> Depends."""
MINBASE = ["?essential", "?priority(required)", "apt"]


def _deb(name: str) -> Deb:
    return Deb(name, "1", "amd64", 1, "0" * 64)


class Index:
    """Stands where `Apt` stands: knows `INDEX`, and brings what is asked for. What it was asked is kept."""

    def __init__(self, folder: Path) -> None:
        self.sources = sources_for(Settings(), "")
        self.folder = self.lists = folder
        self.asked: list[tuple[list[str], list[str]]] = []
        self.without: set[str] = set()
        self.preferred: list[dict[str, str]] = []

    def names(self) -> list[str]:
        return sorted(INDEX.keys() - self.without)

    def versions(self, package: str) -> list[str]:
        return ["2:1.10-1", "2:1.9-1"] if package in self.names() else []

    def records(self, packages: Sequence[str]) -> list[Record]:
        found = [package.partition("=")[0].partition(":")[0] for package in packages]
        if found == ["awk"]:
            return []
        if unknown := set(found) - INDEX.keys():
            raise CommandError(("apt-cache",), 100, f"E: No packages found: {unknown}")
        return [Record(_deb(name), f"Package: {name}\nVersion: 1\nDepends: {INDEX[name]}\nSize: 1") for name in found]

    def preferring(self, versions: Mapping[str, str]) -> Index:
        self.preferred.append(dict(versions))
        return self

    def simulate(self, requests: Sequence[str], status: Path | None = None) -> tuple[Deb, ...]:
        """`requests` themselves, and in `asked` with the packages that were there already."""
        lines = status.read_text().splitlines() if status else []
        self.asked.append((list(requests), [line.split()[1] for line in lines if line.startswith("Package:")]))
        return tuple(_deb(name) for name in requests if name in INDEX)


def _resolve(root: Path, files: Mapping[str, str], index: Index | None = None, **extra: Any) -> Resolution:
    tree = read_tree(root, files, **extra)
    return resolve(tree, cast(Apt, index or Index(root)))


BOTH = {
    "all.yml": BASE + OVERLAY,
    "vars/base.yml": "image: {packages: [less]}",
    "vars/x.yml": "image: {packages: [lshw]}",
}
Y = OVERLAY.replace("x.yml", "y.yml")


def test_base_is_resolved_from_nothing_and_an_overlay_on_top_of_it(tmp_path: Path) -> None:
    index = Index(tmp_path)
    resolution = _resolve(tmp_path, BOTH, index)
    from_nothing = [*MINBASE, "less", "usr-is-merged"]
    assert index.asked == [(from_nothing, []), (["lshw"], ["less", "usr-is-merged"])]
    assert resolution.images["base"].install == (_deb("less"), _deb("usr-is-merged"))
    assert resolution.images["x"].install == (_deb("lshw"),)


@pytest.mark.parametrize("base", ["x", "[base, x]", "[x]"])
def test_overlay_on_an_overlay_is_resolved_on_top_of_all_that_is_below(tmp_path: Path, base: str) -> None:
    index = Index(tmp_path)
    files = {**BOTH, "all.yml": BASE + OVERLAY + Y, "vars/y.yml": f"image: {{base: {base}, packages: [pciutils]}}"}
    _resolve(tmp_path, files, index)
    assert index.asked[-1] == (["pciutils"], ["less", "usr-is-merged", "lshw"])


def test_overlay_without_packages_asks_nothing(tmp_path: Path) -> None:
    index = Index(tmp_path)
    resolution = _resolve(tmp_path, {**BOTH, "vars/x.yml": "image: {run: [a]}"}, index)
    assert len(index.asked) == 1
    assert resolution.images["x"].install == ()


def test_suite_without_the_marker_of_a_merged_usr_does_without_it(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.without = {"usr-is-merged"}
    _resolve(tmp_path, BOTH, index)
    assert index.asked[0] == ([*MINBASE, "less"], [])


def test_python_is_resolved_only_for_roles(tmp_path: Path) -> None:
    assert _resolve(tmp_path, BOTH).python == ()
    files = {**BOTH, "vars/x.yml": "provisioner: roles/r", "roles/r/tasks/main.yml": "[]"}
    assert _resolve(tmp_path, files).python == (_deb("python3"), _deb("usr-is-merged"))


INITRD = "- import_playbook: common/initrd_wrapper.yml\n  vars: {config_file: vars/initrd.yml}\n"


def test_initrd_has_userland_firmware_and_a_kernel(tmp_path: Path) -> None:
    files = {"all.yml": INITRD, "vars/initrd.yml": "image: {include_packages: [lsscsi]}"}
    packages = _resolve(tmp_path, files).images["initrd"]
    assert {deb.name for deb in packages.userland} >= {"busybox-static", "lsscsi"}
    assert packages.firmware == (_deb("firmware-realtek"),)
    assert packages.kernel
    assert packages.kernel.release == KVER
    files["vars/initrd.yml"] = "image: {firmware: false}"
    assert _resolve(tmp_path, files).images["initrd"].firmware == ()


KERNELS: tuple[tuple[str, str, list[str]], ...] = (
    ("linux-image-amd64", KVER, [f"linux-image-{KVER}"]),
    (f"linux-image-{KVER}", KVER, [f"linux-image-{KVER}"]),
    ("linux-image-generic", "6.8.0-31-generic", ["linux-image-6.8.0-31-generic", "linux-modules-6.8.0-31-generic"]),
)


@pytest.mark.parametrize(("package", "release", "debs"), KERNELS)
def test_kernel_is_what_its_metapackage_stands_for(tmp_path: Path, package: str, release: str, debs: list[str]) -> None:
    resolution = _resolve(tmp_path, {**BOTH, "group_vars/on_imagebuild": f"kernel_package: {package}"})
    assert resolution.kernel.release == release
    assert [deb.name for deb in resolution.kernel.debs] == debs


@pytest.mark.parametrize(
    ("package", "message"),
    [
        ("less", "`less` is not a kernel package"),
        ("linux-image-arm64", "there is no package `linux-image-arm64`"),
        ("awk", "there is no package `awk`"),
    ],
)
def test_what_is_no_kernel_is_refused(tmp_path: Path, package: str, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        _resolve(tmp_path, BOTH, kernel_package=package)


def test_all_that_cannot_be_had_is_told_at_once(tmp_path: Path) -> None:
    files = {
        "all.yml": BASE + OVERLAY,
        "vars/base.yml": "image:\n  packages:\n    - lesss\n    - sudo=2:1.10-1\n    - less=2:1.8*\n",
        "vars/x.yml": "basefs_package_manifest: [x]\nimage:\n  packages:\n    - zzzzzz:i386\n    - lshw=2:1.*\n",
    }
    with pytest.raises(PackageError) as caught:
        _resolve(tmp_path, files)
    assert caught.value.message.splitlines() == [
        "3 packages cannot be had from http://deb.debian.org/debian:",
        f"{tmp_path}/vars/base.yml:3: there is no package `lesss`; did you mean `less`?",
        f"{tmp_path}/vars/base.yml:5: `less` has no version `2:1.8*`; the mirror has 2:1.10-1, 2:1.9-1",
        f"{tmp_path}/vars/x.yml:4: there is no package `zzzzzz`",
    ]


def test_version_that_a_role_names_itself_is_looked_up_before_it_runs(tmp_path: Path) -> None:
    tasks = "- apt: name=lshw=0.1\n- apt: name=lesss=0.1\n- apt: name=less=2:1.9-1\n- apt: name=sudo=1 state=absent\n"
    files = {**BOTH, "vars/x.yml": "provisioner: roles/x", "roles/x/tasks/main.yml": tasks}
    with pytest.raises(PackageError) as caught:
        _resolve(tmp_path, files)
    assert caught.value.message.splitlines()[1:] == [
        f"{tmp_path}/roles/x/tasks/main.yml:1: `lshw` has no version `0.1`; the mirror has 2:1.10-1, 2:1.9-1",
        f"{tmp_path}/roles/x/tasks/main.yml:2: there is no package `lesss`; did you mean `less`?",
    ]


def test_package_of_an_old_variable_is_told_where_it_stands(tmp_path: Path) -> None:
    files = {**BOTH, "vars/base.yml": "image:\n  packages: [less]\nbasefs_package_manifest:\n  - lesss\n"}
    with pytest.raises(PackageError, match=r"vars/base\.yml:4: there is no package `lesss`"):
        _resolve(tmp_path, files)


def test_what_apt_refuses_names_the_image(tmp_path: Path) -> None:
    class Refusing(Index):
        def simulate(self, requests: Sequence[str], status: Path | None = None) -> tuple[Deb, ...]:
            raise CommandError(("apt-get",), 100, "E: Unable to correct problems")

    with pytest.raises(PackageError) as caught:
        _resolve(tmp_path, {**BOTH, "vars/base.yml": "image:\n  packages:\n    - less\n"}, Refusing(tmp_path))
    assert caught.value.message == f"{tmp_path}/vars/base.yml:2: apt cannot install what `base` asks for"
    assert caught.value.detail == "E: Unable to correct problems"


def test_base_of_an_earlier_build_is_found_by_its_name(tmp_path: Path) -> None:
    artifact = tmp_path / f"out/base.bookworm.{KVER}.squashfs.img"
    artifact.parent.mkdir()
    artifact.touch()
    resolution = _resolve(tmp_path, {"vars/x.yml": "image: {run: [a]}"}, build_artifact_path="out")
    assert resolution.bases == {"base": artifact}


MISSING: tuple[tuple[str, str, str], ...] = (
    ("other", "the base `other` of `x` is not in this playbook", "build it first"),
    ("bse", "the base `bse` of `x` is not in this playbook", "did you mean `base`?"),
)


@pytest.mark.parametrize(("base", "message", "hint"), MISSING)
def test_base_that_is_nowhere_is_refused(tmp_path: Path, base: str, message: str, hint: str) -> None:
    with pytest.raises(SpecError) as caught:
        _resolve(tmp_path, {**BOTH, "vars/x.yml": f"image:\n  base: [base, {base}]\n"})
    assert caught.value.message.startswith(f"{tmp_path}/vars/x.yml:2: {message}, and {tmp_path.parent}/builds/{base}.")
    assert hint in (caught.value.hint or "")


RELEASES: tuple[tuple[dict[str, str], int], ...] = (
    ({}, 0),
    ({"m_InRelease": "Suite: stable\nDate: Sat, 11 Jan 2025 10:05:18 UTC\n"}, 1736589918),
    (
        {
            "m_Release": "Date: Sat, 11 Jan 2025 10:05:18 UTC\n",
            "n_InRelease": "Date: Sat, 11 Jan 2025 10:05:19 +0000\n",
        },
        1736589919,
    ),
    ({"m_Packages": "Date: Sat, 11 Jan 2025 10:05:18 UTC\n", "m_Release": "no date\n"}, 0),
)


@pytest.mark.parametrize(("files", "epoch"), RELEASES)
def test_artifacts_carry_the_time_of_the_newest_release_file(tmp_path: Path, files: dict[str, str], epoch: int) -> None:
    index = Index(tmp_path / "lists")
    index.folder.mkdir()
    for name, text in files.items():
        (index.lists / name).write_text(text)
    assert _resolve(tmp_path, BOTH, index).epoch == epoch


def test_time_that_is_given_wins(tmp_path: Path) -> None:
    assert resolve(read_tree(tmp_path, BOTH), cast(Apt, Index(tmp_path)), Kept(epoch=0)).epoch == 0


class AtOdds(Index):
    """Refuses, in apt's words, as long as `libc6` is preferred in any version."""

    def simulate(self, requests: Sequence[str], status: Path | None = None) -> tuple[Deb, ...]:
        if self.preferred and "libc6" in self.preferred[-1]:
            said = (
                "The following packages have unmet dependencies:\n"
                " lshw : Depends: libc6 (>= 3) but 2 is to be installed\n"
                "        Breaks: other:i386 (< 1) but 1 is to be installed\n"
                "E: Unable to correct problems, you have held broken packages.\n"
            )
            raise CommandError(("apt-get",), 100, said)
        return super().simulate(requests, status)


def test_versions_that_cannot_be_had_together_are_let_go_and_no_others(tmp_path: Path) -> None:
    index = AtOdds(tmp_path)
    kept = Kept(
        versions={"x": {"lshw": "1", "libc6": "2", "other": "1", "jq": "1"}, "base": {"lshw": "0", "less": "1"}}
    )
    tree = read_tree(tmp_path, {**BOTH, "all.yml": OVERLAY + BASE})
    resolve(tree, cast(Apt, index), kept)
    first, *_, last = index.preferred
    assert first == {"lshw": "0", "libc6": "2", "other": "1", "jq": "1", "less": "1"}
    assert last == {"jq": "1", "less": "1", "usr-is-merged": "1"}


def test_kept_images_are_not_asked_for_but_count_as_installed_below(tmp_path: Path) -> None:
    index = Index(tmp_path)
    base = ImagePackages(install=(_deb("less"), _deb("sudo")))
    resolution = resolve(read_tree(tmp_path, BOTH), cast(Apt, index), Kept(images={"base": base}))
    assert resolution.images["base"] is base
    assert index.asked == [(["lshw"], ["less", "sudo"])]
    assert index.preferred == []


def test_kept_kernel_and_python_stay(tmp_path: Path) -> None:
    kernel = Kernel("5.0", ())
    kept = Kept(kernels={"linux-image-amd64": kernel}, python=(_deb("python2"),))
    files = {**BOTH, "vars/x.yml": "provisioner: roles/r", "roles/r/tasks/main.yml": "[]"}
    resolution = resolve(read_tree(tmp_path, files), cast(Apt, Index(tmp_path)), kept)
    assert (resolution.kernel, resolution.python) == (kernel, kept.python)
