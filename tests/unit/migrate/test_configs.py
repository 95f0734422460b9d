"""What of an old tree's variables can go, and what becomes of those that cannot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from image_tree import write_tree
from imagebuilder.migrate.tree import Migration, migrate

ALL = """\
- include: common/basefs_wrapper.yml
  vars: [config_file: vars/base.yml]
- include: common/overlay_wrapper.yml
  vars:
    - config_file: vars/x.yml
    - provisioner: roles/r
"""
ROLE = '- apt: name="{{ item.package }}={{ item.version }}"\n  with_items: x_package_manifest\n'
X = "x_package_manifest:\n  - {package: lshw, version: 1}\n"


def _migrated(root: Path, files: Mapping[str, str]) -> Migration:
    write_tree(
        root,
        {
            "all.yml": ALL,
            "vars/base.yml": "basefs_package_manifest: [less]\n",
            "vars/x.yml": X,
            "roles/r/tasks/main.yml": ROLE,
            **files,
        },
    )
    return migrate(root)


def test_role_that_only_installs_is_no_provisioner_any_more(tmp_path: Path) -> None:
    migration = _migrated(tmp_path, {})
    assert migration.texts["vars/x.yml"] == "image:\n  packages:\n    - lshw=1\n"
    assert "provisioner" not in migration.texts["all.yml"]
    assert not [name for name in (*migration.texts, *migration.copies) if name.startswith("roles/")]


KEPT: tuple[tuple[str, dict[str, str], str], ...] = (
    ("a role", {"roles/r/tasks/main.yml": f"{ROLE}- debug: var=x_package_manifest\n"}, X),
    ("a template", {"roles/r/templates/a": "{{ x_package_manifest }}", "roles/r/tasks/main.yml": "- command: a\n"}, X),
    ("another variable", {"vars/x.yml": f"{X}other: '{{{{ x_package_manifest }}}}'\n"}, X),
    ("no list", {"vars/x.yml": "x_package_manifest: '{{ [] }}'\n"}, "x_package_manifest: '{{ [] }}'\n"),
)


@pytest.mark.parametrize(("files", "kept"), [case[1:] for case in KEPT], ids=[case[0] for case in KEPT])
def test_variable_that_something_names_stays_and_means_what_it_did(
    tmp_path: Path, files: dict[str, str], kept: str
) -> None:
    text = _migrated(tmp_path, files).texts["vars/x.yml"]
    assert kept in text
    assert "packages:" not in text


NAMES: tuple[tuple[str, str, str], ...] = (
    ("base.{{ debootstrap_release }}.{{ ubuntu_kernel_version }}.squashfs.img", "name", ""),
    ("mine.{{ debootstrap_release }}.{{ ubuntu_kernel_version }}.squashfs.img", "name: mine", "base: mine"),
    ("mine.img", "", ""),
)


@pytest.mark.parametrize(("image_name", "base", "overlay"), NAMES)
def test_name_of_the_bases_artifact_becomes_the_images_where_that_is_the_same(
    tmp_path: Path, image_name: str, base: str, overlay: str
) -> None:
    settings = f'ubuntu_kernel_version: 6.1\nbasefs_image_name: "{image_name}"\n'
    texts = _migrated(tmp_path, {"group_vars/on_imagebuild": settings}).texts
    assert ("basefs_image_name" in texts["group_vars/on_imagebuild"]) is (base == "")
    assert ("  name: mine\n" in texts["vars/base.yml"]) is (base == "name: mine")
    assert ("  base: mine\n" in texts["vars/x.yml"]) is (overlay == "base: mine")


SETTINGS: tuple[tuple[str, str], ...] = (
    ("ubuntu_kernel_version: 6.1-generic\n", "kernel_package: linux-image-6.1-generic\n"),
    ("ubuntu_kernel_version: 6.1\nown: '{{ ubuntu_kernel_version }}'\n", "ubuntu_kernel_version: 6.1\nown:"),
    ("debootstrap_apt_server: http://a:1/ubuntu\n", "apt_server: a:1\n"),
    ("b: c\ndebootstrap_apt_server: 'http://{{ b }}/c'\n", "b: c\ndebootstrap_apt_server:"),
    ("repository_lists:\n  - {dest: a, line: deb http://b c d}\n", "repository_lists:\n  - deb http://b c d\n"),
    ("# about it\nown: 1 # mine\n\nansible_dependencies: x\n", "# about it\nown: 1 # mine\n"),
)


@pytest.mark.parametrize(("old", "new"), SETTINGS)
def test_settings_of_the_tree_are_said_in_todays_words(tmp_path: Path, old: str, new: str) -> None:
    text = _migrated(tmp_path, {"group_vars/on_imagebuild": old}).texts["group_vars/on_imagebuild"]
    assert text.startswith(new)
    assert "ansible_dependencies" not in text


def test_own_variables_of_the_inventory_move_to_group_vars(tmp_path: Path) -> None:
    hosts = (
        "[overlay_build_chroot]\n/srv/o ansible_connection=chroot\n[on_imagebuild:vars]\nown=2\noverlayfs_work_dir=/w\n"
    )
    texts = _migrated(tmp_path, {"hosts": hosts, "group_vars/on_imagebuild": "a: 1\n"}).texts
    assert texts["group_vars/on_imagebuild"] == "a: 1\n\n# From the inventory.\nown: '2'\n"
    assert "[overlay_build_chroot]\n/srv/o\n" in texts["hosts"]


def test_variables_of_the_inventory_are_kept_where_there_are_no_group_vars(tmp_path: Path) -> None:
    texts = _migrated(tmp_path, {"hosts": "[on_imagebuild:vars]\nown=2\n"}).texts
    assert texts["group_vars/on_imagebuild"] == "# From the inventory.\nown: '2'\n"


def test_role_of_an_image_may_have_the_name_of_an_old_wrappers_role(tmp_path: Path) -> None:
    files = {
        "all.yml": ALL.replace("roles/r", "roles/build_rootfs"),
        "roles/build_rootfs/tasks/main.yml": "- command: a\n",
    }
    assert "roles/build_rootfs/tasks/main.yml" in _migrated(tmp_path, files).copies


@pytest.mark.parametrize(("name", "left"), [("a", False), ("{{ item }}", True)])
def test_file_of_which_nothing_is_left_stays_only_where_it_may_be_included(
    tmp_path: Path, name: str, left: bool
) -> None:
    main = f"- include: '{name}.yml'\n  with_items: [a]\n- command: b\n"
    texts = _migrated(tmp_path, {"roles/r/tasks/main.yml": main, "roles/r/tasks/a.yml": ROLE}).texts
    assert ("roles/r/tasks/a.yml" in texts) is left
    assert ("include_tasks" in texts["roles/r/tasks/main.yml"]) is left


def test_wrappers_that_lay_beside_the_playbook_are_found_where_they_are_today(tmp_path: Path) -> None:
    files = {"all.yml": ALL.replace("common/", ""), "overlay_wrapper.yml": "- hosts: all\n"}
    assert "import_playbook: common/overlay_wrapper.yml\n" in _migrated(tmp_path, files).texts["all.yml"]


def test_role_of_two_images_keeps_what_one_of_them_needs(tmp_path: Path) -> None:
    more = "- include: common/overlay_wrapper.yml\n  vars: [config_file: vars/y.yml, provisioner: roles/r]\n"
    files = {"all.yml": ALL + more, "vars/y.yml": "image: {}\n", "group_vars/on_imagebuild": X}
    texts = _migrated(tmp_path, files).texts
    assert texts["all.yml"].count("provisioner: roles/r") == 2
    assert "map(attribute='package')" in texts["roles/r/tasks/main.yml"]
