"""A playbook's entries, in every form that they had since 2015."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from image_tree import write_tree
from imagebuilder.errors import SpecError
from imagebuilder.spec.playbook import Entry, load_playbook, old_entries

X = "vars/x.yml"
FORMS: tuple[str, ...] = (
    "- import_playbook: common/overlay_wrapper.yml\n  vars: {config_file: vars/x.yml}",
    "- ansible.builtin.import_playbook: common/overlay_wrapper.yml\n  vars: {config_file: vars/x.yml}",
    "- include: common/overlay_wrapper.yml\n  vars:\n    - config_file: vars/x.yml",
    "---\n- name: A\n  tags: [a]\n  import_playbook: overlay_wrapper.yml\n  vars:\n    config_file: vars/x.yml",
)


def _entries(root: Path, text: str) -> list[tuple[str, str, str | None, dict[str, object]]]:
    entries = load_playbook(write_tree(root, {"all.yml": text}) / "all.yml")
    return [(e.kind, e.config_file, e.provisioner, dict(e.variables)) for e in entries]


@pytest.mark.parametrize("text", FORMS)
def test_entry_may_be_written_in_any_of_the_forms(tmp_path: Path, text: str) -> None:
    assert _entries(tmp_path, text) == [("overlay", X, None, {})]


def test_wrapper_says_the_kind(tmp_path: Path) -> None:
    text = "".join(f"- include: {w}_wrapper.yml\n  vars: [config_file: a]\n" for w in ("initrd", "basefs", "overlay"))
    assert [entry[0] for entry in _entries(tmp_path, text)] == ["initrd", "base", "overlay"]


def test_variables_beside_the_config_file_are_kept(tmp_path: Path) -> None:
    text = """
    - include: common/basefs_wrapper.yml
      vars:
        - config_file: vars/x.yml
        - provisioner: roles/a
        - {size: 1, colour: red}
    """
    assert _entries(tmp_path, text) == [("base", X, "roles/a", {"size": 1, "colour": "red"})]


def test_playbook_may_import_others_and_gives_them_variables(tmp_path: Path) -> None:
    inner = "- import_playbook: ../common/overlay_wrapper.yml\n  vars: {config_file: vars/x.yml, a: inner, b: inner}\n"
    write_tree(tmp_path, {"more/oem.yml": inner})
    outer = "- import_playbook: more/oem.yml\n  vars: {a: outer}\n- import_playbook: more/oem.yml\n"
    assert _entries(tmp_path, outer) == [
        ("overlay", X, None, {"a": "outer", "b": "inner"}),
        ("overlay", X, None, {"a": "inner", "b": "inner"}),
    ]


def test_entry_knows_its_place_in_the_file_that_holds_it(tmp_path: Path) -> None:
    write_tree(tmp_path, {"oem.yml": f"# one\n{FORMS[0]}\n", "all.yml": f"- import_playbook: oem.yml\n\n{FORMS[0]}\n"})
    places: list[Entry] = list(load_playbook(tmp_path / "all.yml"))
    assert [str(e.location) for e in places] == [f"{tmp_path}/oem.yml:2", f"{tmp_path}/all.yml:3"]


WRONG: tuple[tuple[str, str, str], ...] = (
    ("", "all.yml: a playbook is a list", "import_playbook"),
    ("a: 1", "all.yml:1: a playbook is a list", "import_playbook"),
    ("[]", "all.yml: this playbook names no image", "import_playbook"),
    ("- hosts: all\n  tasks: []", "all.yml:1: this entry imports no playbook", "overlay_wrapper.yml"),
    ("- just text", "all.yml:1: this entry imports no playbook", "overlay_wrapper.yml"),
    ("- import_playbook: [a]", "all.yml:1: this entry imports no playbook", ""),
    ("\n- import_playbook: overlay_wrapper.yml", "all.yml:2: this entry names no config file", "config_file"),
    ("- include: overlay_wrapper.yml\n  vars: {config_file: 1}", "all.yml:1: this entry names no config file", ""),
    ("- include: overlay_wrapper.yml\n  vars: x", "all.yml:1: `vars` is a mapping", ""),
    ("- include: overlay_wrapper.yml\n  vars: {config_file: x, provisioner: [a]}", "all.yml:1: `provisioner` is", ""),
    (
        "- include: overlay_wrapper.yml\n  vars: {config_file: x}\n  when: no",
        "all.yml:3: `when` means nothing here",
        "vars",
    ),
    (
        "- include: overlay_wrapper.yml\n  provisioner: roles/a",
        "all.yml:2: `provisioner` means nothing here",
        "`vars:`",
    ),
    ("- import_playbook: nowhere.yml", "all.yml:1: the playbook `nowhere.yml` does not exist", ""),
    ("- import_playbook: all.yml", "all.yml:1: `all.yml` imports itself", ""),
)


@pytest.mark.parametrize(("text", "message", "hint"), WRONG)
def test_wrong_entry_is_an_error_with_its_place(tmp_path: Path, text: str, message: str, hint: str) -> None:
    write_tree(tmp_path, {"all.yml": dedent(text)})
    with pytest.raises(SpecError) as caught:
        load_playbook(tmp_path / "all.yml")
    assert caught.value.message.startswith(f"{tmp_path}/{message}")
    assert hint in (caught.value.hint or "")


def test_playbooks_that_import_each_other_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, {"all.yml": "- include: b/b.yml", "b/b.yml": "\n- include: ../all.yml"})
    with pytest.raises(SpecError, match=r"b/b\.yml:2: `\.\./all\.yml` imports itself"):
        load_playbook(tmp_path / "all.yml")


def test_playbook_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"all\.yml: this file does not exist"):
        load_playbook(tmp_path / "all.yml")


def test_playbook_of_a_boot_loader_is_passed_over_and_told(tmp_path: Path) -> None:
    text = f"{FORMS[2]}\n- include: common/ipxe_builder.yml\n  vars: [config_file: vars/ipxe.yml]\n"
    assert _entries(tmp_path, text) == [("overlay", X, None, {})]
    assert [(change.location.line, change.old) for change in old_entries(tmp_path / "all.yml")] == [
        (1, "`include:` of playbooks"),
        (2, "a list of `vars:`"),
        (4, "`include:` of playbooks"),
        (4, "`ipxe_builder.yml`"),
        (5, "a list of `vars:`"),
    ]


def test_entry_of_today_is_not_told(tmp_path: Path) -> None:
    write_tree(tmp_path, {"all.yml": FORMS[0]})
    assert old_entries(tmp_path / "all.yml") == ()
