"""What Ansible is given: a folder that looks like the tree, an isolated environment, no strings of code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from imagebuilder.errors import CommandError, ImagebuilderError
from imagebuilder.host.command import Command, Completed, LineSink
from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.steps.ansible import AnsibleRole
from imagebuilder.steps.base import identity

ROLE = "roles/overlay/x"


class RecordedChroot:
    """A root in which nothing runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment: Mapping[str, str] = {"APT_CONFIG": "/run/apt.conf"}
        self.commands: list[tuple[str, ...]] = []

    def run(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None
    ) -> Completed:
        self.commands.append(tuple(argv))
        return Completed(0, "", "")


class RecordedMachine:
    """Keeps the command; plays back events, as the callback plugin would append them, and an end."""

    def __init__(self, scratch: Path, events: Sequence[Mapping[str, Any]] = (), failure: str | None = None) -> None:
        self._scratch = scratch
        self._events = events
        self._failure = failure
        self.command: Command | None = None
        self.said: list[str] = []
        self.parts: list[tuple[str, float]] = []
        self.begun: list[str] = []

    def run(self, command: Command, on_line: LineSink | None = None) -> Completed:
        self.command = command
        for event in self._events:
            with Path(command.env["IMAGEBUILDER_EVENTS"]).open("a") as file:
                file.write(json.dumps(event) + "\n")
            assert on_line
            on_line("a line for people")
        if self._failure is not None:
            raise CommandError(command.argv, 2, self._failure)
        return Completed(0, "", "")

    def progress(self, message: str, size: int = 0) -> None:
        self.said.append(message)

    def began(self, part: str) -> None:
        self.begun.append(part)

    def took(self, part: str, seconds: float) -> None:
        self.parts.append((part, seconds))

    def scratch(self) -> Path:
        self._scratch.mkdir()
        return self._scratch


def _run(role: AnsibleRole, machine: RecordedMachine, root: RecordedChroot) -> None:
    """The doubles have what a role uses of a machine; a role that uses more fails here."""
    role.run(cast(Machine, machine), cast(Chroot, root))


def _tree(folder: Path, **files: str) -> Path:
    for name, text in {f"{ROLE}/tasks/main.yml": "- command: '{{ playbook_dir }}/files/x {{ a }}'", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def machine(tmp_path: Path) -> RecordedMachine:
    return RecordedMachine(tmp_path / "scratch")


@pytest.fixture
def root(tmp_path: Path) -> RecordedChroot:
    return RecordedChroot(tmp_path / "root")


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_play_runs_the_role_on_a_host_named_after_the_root(
    tmp_path: Path, machine: RecordedMachine, root: RecordedChroot
) -> None:
    _run(AnsibleRole.of(_tree(tmp_path / "tree"), ROLE, {"a": "{{ b }}", "b": [1], "c": 2}, {"d": 3}), machine, root)
    play = tmp_path / "scratch/play"
    (written,) = _read(play / "playbook.json")
    assert written["roles"] == [ROLE]
    assert written["gather_facts"] is False
    assert (play / ROLE / "tasks/main.yml").is_file()
    assert list(_read(play / "inventory.json")["on_imagebuild"]["hosts"]) == [str(root.path)]
    assert _read(play / "variables.json") == {"a": "{{ b }}", "b": [1]}
    assert _read(play / "overrides.json") == {"d": 3}


def test_what_lies_beside_the_playbook_comes_from_both_places_of_the_tree(
    tmp_path: Path, machine: RecordedMachine, root: RecordedChroot
) -> None:
    files = {"files/new": "1", "files/both": "tree", "common/files/old": "2", "common/files/both": "common"}
    _run(AnsibleRole.of(_tree(tmp_path / "tree", **files), ROLE, {}), machine, root)
    shown = {path.name: path.read_text() for path in (tmp_path / "scratch/play/files").iterdir()}
    assert shown == {"new": "1", "old": "2", "both": "common"}


def test_ansible_keeps_nothing_in_the_users_home_and_reads_none_of_it(
    tmp_path: Path, machine: RecordedMachine, root: RecordedChroot
) -> None:
    _run(AnsibleRole.of(_tree(tmp_path / "tree"), ROLE, {}), machine, root)
    assert machine.command
    environment = machine.command.env
    scratch = str(tmp_path / "scratch")
    assert Path(environment["ANSIBLE_CONFIG"]).is_file()
    for name in ("HOME", "LOCAL_TEMP", "ROLES_PATH", "COLLECTIONS_PATH"):
        assert environment[f"ANSIBLE_{name}"].startswith(scratch)
    assert json.loads(environment["IMAGEBUILDER_CHROOT_ENVIRONMENT"])["APT_CONFIG"] == "/run/apt.conf"


def test_tasks_become_progress(tmp_path: Path, root: RecordedChroot) -> None:
    started = [{"event": "start", "task": f"x : {name}", "where": "/a.yml:1"} for name in ("One", "Two")]
    machine = RecordedMachine(tmp_path / "scratch", started)
    _run(AnsibleRole.of(_tree(tmp_path / "tree"), ROLE, {}), machine, root)
    assert machine.said == ["TASK [x : One]", "TASK [x : Two]"]


def test_tasks_are_parts_of_the_step_but_those_that_were_skipped(tmp_path: Path, root: RecordedChroot) -> None:
    ends = [
        {"event": "end", "task": f"x : {status}", "where": "/a.yml:1", "status": status, "seconds": seconds}
        for status, seconds in (("ok", 0.5), ("skipped", 0.1), ("changed", 2.5))
    ]
    machine = RecordedMachine(tmp_path / "scratch", ends)
    _run(AnsibleRole.of(_tree(tmp_path / "tree"), ROLE, {}), machine, root)
    assert machine.parts == [("ansible: x : ok", 0.5), ("ansible: x : changed", 2.5)]


def test_a_failed_task_is_the_error_of_the_role(tmp_path: Path, root: RecordedChroot) -> None:
    end = {"event": "end", "task": "x : One", "where": "/a.yml:1", "status": "failed", "seconds": 1, "message": "no"}
    machine = RecordedMachine(tmp_path / "scratch", [end], failure="noise")
    with pytest.raises(ImagebuilderError, match=r"/a\.yml:1: the task `x : One` failed: no"):
        _run(AnsibleRole.of(_tree(tmp_path / "tree"), ROLE, {}), machine, root)


def test_a_failure_that_the_role_rescued_is_none(tmp_path: Path, root: RecordedChroot) -> None:
    end = {"event": "end", "task": "x : One", "where": "/a.yml:1", "status": "failed", "seconds": 1, "message": "no"}
    _run(AnsibleRole.of(_tree(tmp_path / "tree"), ROLE, {}), RecordedMachine(tmp_path / "scratch", [end]), root)


def test_identity_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    here, there = (AnsibleRole.of(_tree(tmp_path / name, **{"files/x": "1"}), ROLE, {"a": 1}) for name in ("p", "q"))
    assert identity(here) == identity(there)


@pytest.mark.parametrize(
    ("files", "variables", "same"),
    [
        ({}, {"a": 1}, True),
        ({"unrelated": "2"}, {"a": 1, "unused": 2}, True),
        ({f"{ROLE}/templates/x.j2": "2"}, {"a": 1}, False),
        ({"files/x": "2"}, {"a": 1}, False),
        ({}, {"a": 2}, False),
    ],
    ids=["nothing", "what the role does not read", "the role", "a file of the tree", "a variable"],
)
def test_change_of_what_the_role_reads_is_another_identity(
    tmp_path: Path, files: dict[str, str], variables: dict[str, Any], same: bool
) -> None:
    before = AnsibleRole.of(_tree(tmp_path / "before", **{"files/x": "1"}), ROLE, {"a": 1})
    after = AnsibleRole.of(_tree(tmp_path / "after", **{"files/x": "1", **files}), ROLE, variables)
    assert (identity(before) == identity(after)) is same


def test_another_ansible_is_another_identity(tmp_path: Path) -> None:
    role = AnsibleRole.of(_tree(tmp_path), ROLE, {})
    assert identity(role) != identity(dataclasses.replace(role, ansible_core="2.99.0"))


def test_files_of_2015_are_shown_translated_and_all_others_as_they_are(
    tmp_path: Path, machine: RecordedMachine, root: RecordedChroot
) -> None:
    files = {f"{ROLE}/tasks/main.yml": "---\n- command: a\n  sudo: yes\n", f"{ROLE}/files/deep/x": "1"}
    tree = _tree(tmp_path / "tree", **files)
    _run(AnsibleRole.of(tree, ROLE, {}), machine, root)
    shown = tmp_path / "scratch/play" / ROLE
    assert (shown / "tasks/main.yml").read_text() == '\n- {"command": "a", "become": true}\n'
    assert (shown / "files/deep/x").readlink() == tree / ROLE / "files/deep/x"
    assert (tree / ROLE / "tasks/main.yml").read_text() == files[f"{ROLE}/tasks/main.yml"]


def test_failure_in_a_translated_file_is_told_where_the_user_wrote_it(tmp_path: Path, root: RecordedChroot) -> None:
    tree = _tree(tmp_path / "tree", **{f"{ROLE}/tasks/main.yml": "- command: a\n  sudo: yes\n"})
    where = f"{tmp_path}/scratch/play/{ROLE}/tasks/main.yml:1:3"
    end = {"event": "end", "task": "x : One", "where": where, "status": "failed", "seconds": 1, "message": "no"}
    machine = RecordedMachine(tmp_path / "scratch", [end], failure="noise")
    with pytest.raises(ImagebuilderError) as caught:
        _run(AnsibleRole.of(tree, ROLE, {}), machine, root)
    assert caught.value.message == f"{tree}/{ROLE}/tasks/main.yml:1: the task `x : One` failed: no"


def test_old_names_of_the_build_root_name_the_one_that_the_role_works_on(
    tmp_path: Path, machine: RecordedMachine, root: RecordedChroot
) -> None:
    tree = _tree(
        tmp_path / "tree", **{f"{ROLE}/tasks/main.yml": "- local_action: command ls {{ overlayfs_build_root }}"}
    )
    role = AnsibleRole.of(tree, ROLE, {"overlayfs_build_root": "/tmp/old/root"})
    _run(role, machine, root)
    assert _read(tmp_path / "scratch/play/variables.json") == {"overlayfs_build_root": str(root.path)}
    assert identity(role) == identity(AnsibleRole.of(tree, ROLE, {}))
