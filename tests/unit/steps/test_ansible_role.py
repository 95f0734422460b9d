"""What a role reads of the image tree: all that it names, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagebuilder.steps.ansible_role import role_reads


def _write(tree: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tree


def _places(tree: Path, role: str, variables: Mapping[str, Any] | None = None) -> set[str]:
    return set(role_reads(tree, role, variables or {}).sources)


ROLE = "roles/overlay/x/tasks/main.yml"

ROLES: tuple[tuple[str, str, set[str]], ...] = (
    ("a role that names no other", "- command: 'true'", set()),
    ("include_role", "- include_role: {name: shared}", {"roles/shared"}),
    ("the full name of import_role", "- ansible.builtin.import_role: {name: shared}", {"roles/shared"}),
    ("a role within a block", "- block:\n  - rescue:\n    - include_role:\n        name: shared", {"roles/shared"}),
    ("a role beside it", "- include_role: {name: sibling}", {"roles/overlay/sibling"}),
    ("a path in the tree", "- include_role: {name: roles/overlay/sibling}", {"roles/overlay/sibling"}),
    ("a role that names another", "- include_role: {name: chained}", {"roles/chained", "roles/shared"}),
    ("a role that is not there", "- include_role: {name: gone}", set()),
    ("YAML that does not parse", "- include_role: {name: shared", set()),
    ("an encrypted value", "- include_role: {name: shared}\n  vars: {x: !vault abc}", {"roles/shared"}),
)


@pytest.mark.parametrize(("text", "more"), [case[1:] for case in ROLES], ids=[case[0] for case in ROLES])
def test_roles_that_a_role_names_are_read_too(tmp_path: Path, text: str, more: set[str]) -> None:
    files = {
        ROLE: text,
        "roles/shared/tasks/main.yml": "",
        "roles/chained/meta/main.yml": "dependencies: [{role: shared}]",
        "roles/overlay/sibling/tasks/main.yml": "",
        "roles/unrelated/tasks/main.yml": "",
    }
    assert _places(_write(tmp_path, files), "roles/overlay/x") == {"roles/overlay/x", *more}


def test_role_whose_name_is_computed_may_be_any(tmp_path: Path) -> None:
    tree = _write(tmp_path, {ROLE: '- include_role: {name: "{{ which }}"}', "roles/a/tasks/main.yml": ""})
    assert _places(tree, "roles/overlay/x") == {"roles"}


FOLDERS: tuple[tuple[str, str, dict[str, Any], set[str]], ...] = (
    ("nothing of the tree", "- copy: {src: mine}", {}, set()),
    ("a file by its path", "- copy: {src: '{{ playbook_dir }}/files/tool.deb'}", {}, {"files", "common/files"}),
    ("a file by its name alone", "- copy: {src: tool.deb}", {}, {"files"}),
    ("a file that a variable names", "- copy: {src: '{{ package }}'}", {"package": "tool.deb"}, {"files"}),
    ("a file that an unused variable names", "- copy: {src: mine}", {"package": "tool.deb"}, set()),
    ("a template of 2015", "- template: {src: hook.j2}", {}, {"common/templates"}),
    ("another folder", "- copy: {src: '{{playbook_dir}}/keys/a'}", {}, {"keys"}),
)


@pytest.mark.parametrize(("text", "variables", "more"), [c[1:] for c in FOLDERS], ids=[c[0] for c in FOLDERS])
def test_folders_of_the_tree_are_read_when_the_role_speaks_of_them(
    tmp_path: Path, text: str, variables: dict[str, Any], more: set[str]
) -> None:
    files = dict.fromkeys(("files/tool.deb", "common/files/rc.local", "common/templates/hook.j2", "keys/a"), "")
    tree = _write(tmp_path, {ROLE: text, **files})
    assert _places(tree, "roles/overlay/x", variables) == {"roles/overlay/x", *more}


def test_collections_in_the_tree_are_read(tmp_path: Path) -> None:
    tree = _write(tmp_path, {ROLE: "- mount: {}", "collections/ansible_collections/ansible/posix/MANIFEST.json": ""})
    assert "collections" in _places(tree, "roles/overlay/x")


VARIABLES = {"used": "{{ inner }}", "inner": [{"deep": "{{ core }}"}], "core": 1, "other": 2, "used_too": 3}
NAMED: tuple[tuple[str, str, set[str]], ...] = (
    ("by name", "- command: '{{ other }}'", {"other"}),
    ("through others", "- command: '{{ used }}'", {"used", "inner", "core"}),
    ("in a condition", "- command: 'true'\n  when: other is defined", {"other"}),
    ("by value", "- command: \"{{ lookup('vars', 'us' ~ 'ed') }}\"", set(VARIABLES)),
    ("from a mapping", "- command: \"{{ vars['us' ~ 'ed'] }}\"", set(VARIABLES)),
)


@pytest.mark.parametrize(("text", "names"), [c[1:] for c in NAMED], ids=[c[0] for c in NAMED])
def test_only_variables_that_the_role_names_count(tmp_path: Path, text: str, names: set[str]) -> None:
    reads = role_reads(_write(tmp_path, {ROLE: text}), "roles/overlay/x", VARIABLES)
    assert reads.variables == {name: VARIABLES[name] for name in names}


@pytest.mark.parametrize(
    ("name", "kept"), [("playbook_dir", False), ("ansible_kernel", False), ("ansible_managed", True), ("mine", True)]
)
def test_what_ansible_sets_itself_is_not_a_variable_of_the_tree(tmp_path: Path, name: str, kept: bool) -> None:
    """Else the place of a checkout and the kernel of the build host would count as content."""
    tree = _write(tmp_path, {ROLE: f"- command: 'echo {{{{ {name} }}}}'"})
    assert (name in role_reads(tree, "roles/overlay/x", {name: "1"}).variables) is kept


FACTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("- command: 'true'", ()),
    ("- command: echo {{ ansible_check_mode }} {{ ansible_managed }} {{ ansible_host }}", ()),
    ("- apt: {name: x}\n  when: ansible_os_family == 'Debian'", ("!all",)),
    ("- command: echo {{ ansible_facts['distribution_release'] }}", ("!all",)),
    ("- command: echo {{ ansible_facts.pkg_mgr }}", ("!all",)),
    ("- command: echo {{ ansible_default_ipv4.address }}", ("all",)),
    ("- command: echo {{ ansible_facts }}", ("all",)),
    ("- command: echo {{ ansible_hostname }} {{ ansible_memtotal_mb }}", ("all",)),
)


@pytest.mark.parametrize(("text", "subset"), FACTS, ids=[case[0] for case in FACTS])
def test_facts_are_gathered_as_far_as_the_role_names_them(tmp_path: Path, text: str, subset: tuple[str, ...]) -> None:
    assert role_reads(_write(tmp_path, {ROLE: text}), "roles/overlay/x", {}).facts == subset


def test_facts_in_a_template_and_in_a_variable_count(tmp_path: Path) -> None:
    tree = _write(tmp_path, {ROLE: "- command: '{{ a }}'", "roles/overlay/x/templates/t.j2": "{{ ansible_kernel }}"})
    assert role_reads(tree, "roles/overlay/x", {"a": "1"}).facts == ("!all",)
    assert role_reads(tree, "roles/overlay/x", {"a": "{{ ansible_mounts }}"}).facts == ("all",)
