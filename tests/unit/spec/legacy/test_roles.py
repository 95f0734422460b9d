"""What stays of an old role: its tasks less those that the build does, each on the line where it stood."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from image_tree import write_tree
from imagebuilder.errors import SpecError
from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.legacy.needless import Context
from imagebuilder.spec.legacy.roles import OldRole, read_role

ROLE = "roles/x"
MAIN = f"{ROLE}/tasks/main.yml"
AGENT = "curl -s $server/bootstrap.js | nodejs\n"


def _read(root: Path, kind: Kind, **files: str) -> OldRole:
    write_tree(root, files)
    return read_role(
        root, root / ROLE, Context(kind, frozenset({"a_package_manifest"}), frozenset({"a_storcli_package"}))
    )


NEEDLESS: tuple[tuple[Kind, str], ...] = (
    ("overlay", '- apt: name="{{ item.package }}={{ item.version }}"\n  with_items: a_package_manifest'),
    ("overlay", "- copy: src={{ playbook_dir }}/files/{{ a_storcli_package }} dest=/opt/"),
    ("overlay", "- command: dpkg -i /opt/{{ a_storcli_package }}"),
    ("overlay", "- file: path=/opt/{{ a_storcli_package }} state=absent"),
    ("overlay", "- lineinfile: dest={{ item.dest }} line={{ item.line }}\n  with_items: repository_lists"),
    ("overlay", "- apt: update_cache=yes"),
    ("overlay", "- command: apt-get -q update"),
    ("base", "- copy: src={{ playbook_dir }}/files/rc.local dest=/etc/rc.local mode=0755"),
    ("initrd", "- apt: name=linux-image-{{ initrd_kernel_version }}"),
    (
        "initrd",
        "- template: src=h.j2 dest=/etc/initramfs-tools/hooks/{{ item }}\n  with_items: initrd_include_binaries",
    ),
    ("initrd", "- copy: src=local dest=/etc/initramfs-tools/scripts/local"),
    ("initrd", '- shell: "echo {{ item }} >> /etc/initramfs-tools/modules"\n  with_items: [squashfs, overlayfs]'),
    ("initrd", "- shell: uname -r | grep x\n  register: same\n  ignore_errors: true"),
)
NEEDED: tuple[tuple[Kind, str], ...] = (
    ("overlay", "- apt: name={{ item }}\n  with_items: other_package_manifest"),
    ("overlay", "- debug: var=a_package_manifest"),
    ("overlay", "- apt_repository: repo=x\n- apt: update_cache=yes"),
    ("overlay", "- apt: update_cache=yes name=a"),
    ("overlay", "- copy: src={{ playbook_dir }}/files/rc.local dest=/etc/rc.local"),
    ("base", "- copy: src={{ playbook_dir }}/files/motd dest=/etc/rc.local"),
    ("initrd", "- copy: src=hook dest=/etc/initramfs-tools/hooks/"),
    ("initrd", '- shell: "echo dm_mod >> /etc/initramfs-tools/modules"'),
    ("initrd", "- shell: uname -r\n  register: a\n- command: echo {{ a.stdout }}"),
)
FILES = {"common/files/rc.local": AGENT, "common/files/motd": "hello\n"}


@pytest.mark.parametrize(("kind", "text"), NEEDLESS)
def test_task_that_the_build_does_is_left_out(tmp_path: Path, kind: Kind, text: str) -> None:
    role = _read(tmp_path, kind, **{**FILES, MAIN: text})
    assert role.empty
    assert [change.location.line for change in role.changes] == [1]


@pytest.mark.parametrize(("kind", "text"), NEEDED)
def test_task_that_is_needed_stays(tmp_path: Path, kind: Kind, text: str) -> None:
    role = _read(tmp_path, kind, **{**FILES, MAIN: text})
    assert not role.empty
    assert len(role.files[tmp_path / MAIN].tasks) == len(yaml.safe_load(text))


def test_role_whose_files_have_nothing_left_is_empty(tmp_path: Path) -> None:
    files = {
        MAIN: "- include: a.yml\n- include: b.yml",
        f"{ROLE}/tasks/a.yml": "- include: b.yml",
        f"{ROLE}/tasks/b.yml": NEEDLESS[0][1],
    }
    assert _read(tmp_path, "overlay", **files).empty
    assert not _read(tmp_path, "overlay", **{f"{ROLE}/meta/main.yml": "dependencies: [y]"}).empty


def test_role_that_never_did_anything_is_not_called_needless(tmp_path: Path) -> None:
    assert not _read(tmp_path, "overlay", **{MAIN: "[]"}).empty


def test_each_task_stands_where_it_stood(tmp_path: Path) -> None:
    copy = "- copy:\n    content: 'x\n\n      y'\n    dest: /é\n"
    text = f"---\n- command: a\n  sudo: yes\n# a comment\n\n- apt: update_cache=yes\n{copy}"
    role = _read(tmp_path, "overlay", **{MAIN: text})
    written = role.refused[tmp_path / MAIN].text()
    lines = {number: yaml.safe_load(line) for number, line in enumerate(written.splitlines(), start=1) if line}
    assert lines == {
        2: [{"command": "a", "become": True}],
        7: [{"copy": {"content": "x\ny", "dest": "/é"}}],
    }
    assert yaml.safe_load(written) == [*lines[2], *lines[7]]


def test_file_without_old_forms_is_taken_as_it_is(tmp_path: Path) -> None:
    role = _read(tmp_path, "overlay", **{MAIN: "- include: b.yml", f"{ROLE}/tasks/b.yml": "- copy: src=a dest=/b"})
    assert list(role.refused) == [tmp_path / MAIN]


@pytest.mark.parametrize("text", ["- a: [", "a: 1", "- 1", "- command: a\n  sudo: yes\n  vars: {b: !vault c}"])
def test_file_that_is_not_understood_is_left_to_ansible(tmp_path: Path, text: str) -> None:
    assert _read(tmp_path, "overlay", **{MAIN: text}).refused == {}


def test_what_was_changed_in_a_task_that_is_left_out_is_not_told(tmp_path: Path) -> None:
    role = _read(tmp_path, "overlay", **{MAIN: f"{NEEDLESS[0][1]}\n- command: a\n  sudo: yes\n"})
    assert [change.old for change in role.changes] == ["`sudo:`", "installing `a_package_manifest`"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- copy: src=hook dest=/etc/initramfs-tools/hooks/", True),
        ("- apt: name=a", True),
        ("- copy: src=a dest=/etc/modprobe.d/", False),
    ],
)
def test_initrds_role_that_feeds_initramfs_tools_works_on_a_build_root(
    tmp_path: Path, text: str, expected: bool
) -> None:
    assert _read(tmp_path, "initrd", **{MAIN: text}).on_build_root is expected
    assert not _read(tmp_path, "overlay", **{MAIN: text}).on_build_root


def test_what_has_no_modern_form_stops_the_reading(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"tasks/main\.yml:2: Ansible has no `only_if:` any more"):
        _read(tmp_path, "overlay", **{MAIN: "- command: a\n  only_if: b"})
