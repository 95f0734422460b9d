"""Variables of 2015 mean what they meant."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from image_tree import BASE, OVERLAY, read_tree
from imagebuilder.errors import SpecError
from imagebuilder.spec.config import BaseKeys, OverlayKeys
from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.legacy.keys import base_below
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.tree import TreeSpec

INITRD = "- include: common/initrd_wrapper.yml\n  vars: [config_file: vars/initrd.yml]\n"
PLAYBOOKS: dict[Kind, tuple[str, str]] = {
    "base": (BASE, "vars/base.yml"),
    "initrd": (INITRD, "vars/initrd.yml"),
    "overlay": (OVERLAY, "vars/x.yml"),
}

MEANINGS: tuple[tuple[Kind, str, str, list[str]], ...] = (
    ("base", "packages", "basefs_package_manifest: [{package: less, version: 590-2}]", ["less=590-2"]),
    ("base", "packages", "image: {packages: [ab]}\nbasefs_package_manifest: [less]", ["ab", "less"]),
    ("base", "packages", "image: {packages: [ab]}\ninitrd_package_manifest: [less]", ["ab"]),
    ("base", "packages", "image: {packages: ['{{ c }}']}\nc: cd\nbasefs_package_manifest: '{{ [c] }}'", ["cd", "cd"]),
    ("initrd", "include_packages", "initrd_package_manifest:\n  - {package: curl, version: 7.88*}", ["curl=7.88*"]),
    ("initrd", "include_binaries", "initrd_include_binaries: [curl, /bin/x]", ["curl", "/bin/x"]),
)


def _image(root: Path, kind: Kind, text: str, **files: str) -> Any:
    playbook, config = PLAYBOOKS[kind]
    (image,) = read_tree(
        root, {"all.yml": playbook, config: f"image: {{}}\n{text}" if "image:" not in text else text, **files}
    ).images
    return image


@pytest.mark.parametrize(("kind", "key", "text", "expected"), MEANINGS)
def test_old_variable_adds_to_the_key_that_it_means(
    tmp_path: Path, kind: Kind, key: str, text: str, expected: list[str]
) -> None:
    image = _image(tmp_path, kind, text)
    assert [str(value) for value in getattr(image.keys, key)] == expected


def test_old_variable_may_stand_in_group_vars(tmp_path: Path) -> None:
    image = _image(tmp_path, "base", "", **{"group_vars/on_imagebuild": "basefs_package_manifest: [less]"})
    assert [str(package) for package in image.keys.packages] == ["less"]


def test_each_package_knows_the_line_where_it_is_written(tmp_path: Path) -> None:
    text = """\
    basefs_package_manifest:
      - less
      - sudo
    image:
      packages:
        - ab
        - cd
    """
    image = _image(tmp_path, "base", dedent(text))
    lines = {str(package): image.at("packages", i).line for i, package in enumerate(image.keys.packages)}
    assert lines == {"ab": 6, "cd": 7, "less": 2, "sudo": 3}


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("image: {}\nbasefs_package_manifest:\n  - less\n  - {package: ab, vresion: 1}", 4, "did you mean `version`?"),
        ("image: {}\nbasefs_package_manifest: less", 2, "`basefs_package_manifest` must be a list"),
        ("basefs_package_manifest: [less]\nimage: {packages: ab}", 2, "`image.packages`: must be a list"),
        ("image: {}\nbasefs_package_manifest: ['{{ nothing }}']", 2, "'nothing' is undefined"),
        ("image: {}\nbasefs_image_name: '{{ nothing }}'", 2, "'nothing' is undefined"),
    ],
)
def test_wrong_old_variable_is_an_error_with_its_line(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        _image(tmp_path, "base", text)
    assert caught.value.location.line == line
    assert message in caught.value.message


NAMES: tuple[tuple[Kind, str, str | None], ...] = (
    ("overlay", "", None),
    ("overlay", "overlayfs_archive_name: discovery.overlay.cpio", "discovery.overlay.cpio.gz"),
    ("overlay", "overlayfs_archive_name: discovery.overlay.cpio.gz", "discovery.overlay.cpio.gz"),
    ("overlay", "basefs_image_name: x.img", None),
    ("base", "basefs_image_name: 'base.{{ debootstrap_release }}.img'", "base.bookworm.img"),
    ("initrd", "basefs_image_name: x.img", None),
)


@pytest.mark.parametrize(("kind", "text", "expected"), NAMES)
def test_old_artifact_names_are_kept(tmp_path: Path, kind: Kind, text: str, expected: str | None) -> None:
    assert _image(tmp_path, kind, text).artifact_name == expected


def test_tree_of_2015_reads_as_it_did(tmp_path: Path) -> None:
    tree = read_tree(
        tmp_path,
        {
            "all.yml": """\
                ---
                - include: common/basefs_wrapper.yml
                  vars:
                    - config_file: vars/basefs.yml
                    - provisioner: roles/basefs/provision_rootfs
                - include: common/overlay_wrapper.yml
                  vars:
                    - config_file: vars/discovery_overlay.yml
                """,
            "hosts": "[on_imagebuild:vars]\nbuild_artifact_path=/tmp/on-imagebuilder/builds\n",
            "group_vars/on_imagebuild": """\
                apt_server: 192.168.100.5:3142
                debootstrap_release: trusty
                kernel_version: 3.16.0-25-generic
                base_repository_list: "deb http://{{ apt_server }}/ubuntu/"
                repository_lists:
                  - { dest: "/etc/apt/sources.list.d/u.list", line: "{{ base_repository_list }} trusty universe" }
                basefs_image_name: "base.{{ debootstrap_release }}.{{ kernel_version }}.squashfs.img"
                kernel_major: "{{ ansible_kernel.split('.')[0] }}"
                """,
            "vars/basefs.yml": """\
                build_root_size: 300m
                basefs_package_manifest:
                  - { package: "less",  version: "458-2" }
                """,
            "vars/discovery_overlay.yml": """\
                provisioner: roles/overlay/provision_discovery_overlay
                overlayfs_archive_name: "discovery.overlay.cpio"
                """,
            "roles/basefs/provision_rootfs/tasks/main.yml": "[]",
            "roles/overlay/provision_discovery_overlay/tasks/main.yml": "[]",
        },
    )
    base, overlay = tree.images
    assert tree.settings.artifact_folder == Path("/tmp/on-imagebuilder/builds")
    assert tree.settings.repository_lists == ("deb http://192.168.100.5:3142/ubuntu/ trusty universe",)
    assert base.artifact_name == "base.trusty.3.16.0-25-generic.squashfs.img"
    assert isinstance(base.keys, BaseKeys)
    assert str(base.keys.packages[0]) == "less=458-2"
    assert overlay.artifact_name == "discovery.overlay.cpio.gz"
    assert isinstance(overlay.keys, OverlayKeys)
    assert overlay.keys.base == ("basefs",)


def _tree(root: Path, config: str, **files: str) -> TreeSpec:
    return read_tree(root, {"all.yml": BASE + OVERLAY, "vars/base.yml": "image: {}", "vars/x.yml": config, **files})


def test_base_of_2015_gets_what_such_a_base_had_by_itself_and_what_the_agent_needs(tmp_path: Path) -> None:
    image = _image(tmp_path, "base", "", **{"vars/base.yml": "basefs_package_manifest: [kmod, less, jq]"})
    assert [str(package) for package in image.keys.packages] == [
        *("kmod", "less", "jq", "systemd-sysv", "udev", "iproute2", "curl"),
    ]
    assert [change.location.line for change in image.changes] == [1]


def test_overlays_manifest_is_installed_before_its_role(tmp_path: Path) -> None:
    tree = _tree(tmp_path, "image: {}\nx_overlay_package_manifest: [{package: lshw, version: 1}]\n")
    keys = tree.images[1].keys
    assert isinstance(keys, OverlayKeys)
    assert [str(package) for package in keys.packages] == ["lshw=1"]


def test_pattern_in_group_vars_belongs_to_no_image(tmp_path: Path) -> None:
    tree = _tree(tmp_path, "image: {}", **{"group_vars/on_imagebuild": "x_package_manifest: [lshw]"})
    assert isinstance(tree.images[1].keys, OverlayKeys)
    assert tree.images[1].keys.packages == ()


@pytest.mark.parametrize("place", ["files", "common/files", "roles/r/files"])
def test_vendors_package_is_found_where_a_role_copied_it_from(tmp_path: Path, place: str) -> None:
    tree = _tree(tmp_path, "raid_storcli_package: a.deb", **{f"{place}/a.deb": ""})
    keys = tree.images[1].keys
    assert isinstance(keys, OverlayKeys)
    assert keys.debs == (f"{place}/a.deb",)


def test_vendors_package_that_is_nowhere_is_asked_of_its_vendor(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"the file `files/a\.deb` is missing") as caught:
        _tree(tmp_path, "raid_storcli_package: a.deb")
    assert "Broadcom, StorCLI" in (caught.value.hint or "")


SETTINGS: tuple[tuple[str, str, str | None], ...] = (
    ("ubuntu_kernel_version: 3.16.0-25-generic", "linux-image-3.16.0-25-generic", None),
    ("ubuntu_kernel_version: 3.16\nkernel_package: linux-image-x", "linux-image-x", None),
    ("debootstrap_apt_server: http://cache:3142/ubuntu", "linux-image-amd64", "cache:3142"),
    ("debootstrap_apt_server: http://a/b\napt_server: c", "linux-image-amd64", "c"),
)


@pytest.mark.parametrize(("text", "kernel", "server"), SETTINGS)
def test_old_settings_speak_where_those_of_today_do_not(
    tmp_path: Path, text: str, kernel: str, server: str | None
) -> None:
    settings = _tree(tmp_path, "image: {}", **{"group_vars/on_imagebuild": text}).settings
    assert (settings.kernel_package, settings.apt_server) == (kernel, server)


def test_wrong_old_setting_points_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        _tree(tmp_path, "image: {}", **{"group_vars/on_imagebuild": "a: 1\ndebootstrap_apt_server: ' /'\n"})
    assert caught.value.location.line == 2


BELOW: tuple[tuple[str, str | None], ...] = (
    ("basefs_image_name: a.img", "a.img"),
    ("squashfs_image_path: '/builds/{{ b }}.img'\nb: c", "c.img"),
    ("squashfs_image_path: /builds/b.img\nbasefs_image_name: a.img", "a.img"),
    ("", None),
)


@pytest.mark.parametrize(("text", "expected"), BELOW)
def test_base_below_an_overlay_is_found_by_its_old_names(tmp_path: Path, text: str, expected: str | None) -> None:
    image = _tree(tmp_path, f"image: {{}}\n{text}").images[1]
    assert base_below(image.variables, Renderer(image.variables), image.document) == expected


def test_each_variable_without_a_meaning_is_named_once_where_it_stands(tmp_path: Path) -> None:
    tree = _tree(
        tmp_path,
        "image: {}\nbasefs_exclude_packages: a\nbuild_root_size: 300m\nown: 1\n",
        **{
            "hosts": "[on_imagebuild:vars]\noverlayfs_work_dir=/w\nown=2\n",
            "group_vars/on_imagebuild": "own: 3\nansible_dependencies: python\n",
        },
    )
    assert [(change.location.file.name, change.location.line, change.old) for change in tree.changes] == [
        ("hosts", 0, "`overlayfs_work_dir`"),
        ("on_imagebuild", 2, "`ansible_dependencies`"),
        ("x.yml", 2, "`basefs_exclude_packages`"),
        ("x.yml", 3, "`build_root_size`"),
    ]


def test_role_that_the_build_does_all_of_is_no_provisioner(tmp_path: Path) -> None:
    role = '- apt: name="{{ item.package }}={{ item.version }}"\n  with_items: x_package_manifest\n'
    config = "provisioner: roles/r\nx_package_manifest: [{package: lshw, version: 1}]\n"
    image = _tree(tmp_path, config, **{"roles/r/tasks/main.yml": role}).images[1]
    assert image.provisioner is None
    assert image.needless_role is not None


def test_role_sees_repository_lists_as_they_are_written(tmp_path: Path) -> None:
    line = "deb http://a/b c main"
    text = f"repository_lists:\n  - {{dest: /x, line: {line}}}\n"
    tree = _tree(tmp_path, "image: {}", **{"group_vars/on_imagebuild": text})
    assert tree.settings.repository_lists == (line,)
    assert tree.images[1].variables["repository_lists"] == [{"dest": "/x", "line": line}]
