"""An Ansible role as provisioner: `ansible-playbook`, run by us, on a chroot that needs no Python.

Ansible sees a folder made for this run:

    play/playbook.json      one play: one host, one role
    play/inventory.json     the host is named after the root's path, as in 2015
    play/variables.json     what the image tree says, unrendered
    play/roles/...          links to the role and the roles that it names, at their places in the tree;
                            where files of 2015 had to be translated, a folder with those and links to the rest
    play/files, templates   links to the tree's own
    play/collections        a link to the tree's own
    home/                   what Ansible would keep in ~/.ansible

`playbook_dir` is `play/`, so `{{ playbook_dir }}/files/x` is found as in the tree.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagebuilder.errors import CommandError
from imagebuilder.host.command import Command
from imagebuilder.host.machine import Chroot, Machine
from imagebuilder.spec.legacy.needless import ALONE, Context
from imagebuilder.spec.legacy.variables import BUILD_ROOTS
from imagebuilder.steps.ansible_role import role_reads
from imagebuilder.steps.base import Action, Source
from imagebuilder.steps.interpreter import INTERPRETER, ansible_version

_CONFIGURATION = Path(__file__).parents[1] / "ansible" / "ansible.cfg"
_SCRATCH_IN_CHROOT = "/run/imagebuilder/ansible"


@dataclass(frozen=True, slots=True)
class AnsibleRole(Action):
    """Run the role at `role`, a place in the tree like `roles/overlay/provision_x`.

    `sources` are the role and all else that it reads, by place; `translated` is
    what takes the place of single files of them; `variables` are unrendered;
    `overrides` stand above every variable of the role itself (`-e`); `facts`
    is a `gather_subset`, empty for none.
    """

    kind = "ansible"

    role: str
    sources: Mapping[str, Source]
    variables: Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    translated: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ("all",)
    ansible_core: str = field(default_factory=ansible_version)

    @classmethod
    def of(
        cls,
        tree: Path,
        role: str,
        variables: Mapping[str, Any],
        overrides: Mapping[str, Any] | None = None,
        context: Context = ALONE,
    ) -> AnsibleRole:
        """The role with all that it reads of the tree, and no more. Raises SpecError for what is too old."""
        reads = role_reads(tree, role, {**variables, **dict.fromkeys(BUILD_ROOTS, "")}, context)
        return cls(role, reads.sources, reads.variables, overrides or {}, reads.translated, reads.facts)

    def run(self, machine: Machine, root: Chroot) -> None:
        """Run the role. Raises SpecError when the role is wrong, ImagebuilderError when a task fails."""
        # Late, for planning needs none of it.
        from imagebuilder.steps.ansible_events import EventFile, TaskEnded, TaskStarted, failure

        # World-writable as /tmp is: tasks may become any user. Short options: an initrd has busybox.
        root.run(("mkdir", "-p", "-m", "1777", _SCRATCH_IN_CHROOT))
        scratch = machine.scratch()
        play = scratch / "play"
        events = EventFile(scratch / "events", (f"{play}/roles/", f"{self._tree}/roles/"))
        failed: list[TaskEnded] = []

        def watch(_line: str) -> None:
            for event in events.read():
                if isinstance(event, TaskStarted):
                    machine.began(f"{self.kind}: {event.task} ({event.where})")
                    machine.progress(f"TASK [{event.task}]")
                    continue
                if event.status != "skipped":
                    machine.took(f"{self.kind}: {event.task}", event.seconds)
                if event.status == "failed":
                    failed.append(event)

        self._write_play(play, root)
        command = self._command(play, root, events.path)
        try:
            machine.run(command, watch)
        except CommandError as error:
            watch("")
            raise failure(self.role, failed, events.in_tree(error.detail)) from error

    @property
    def _tree(self) -> Path:
        """The image tree, of which the sources are parts."""
        place, source = next(iter(self.sources.items()))
        return source.path.parents[place.count("/")]

    def _command(self, play: Path, root: Chroot, events: Path) -> Command:
        environment = {
            "ANSIBLE_CONFIG": str(_CONFIGURATION),
            "ANSIBLE_HOME": str(play.parent / "home"),
            "ANSIBLE_LOCAL_TEMP": str(play.parent / "home"),
            "ANSIBLE_ROLES_PATH": str(play / "roles"),
            "ANSIBLE_COLLECTIONS_PATH": str(play / "collections"),
            # Offline: systemctl changes files only, and Ansible's modules that use it know.
            "IMAGEBUILDER_CHROOT_ENVIRONMENT": json.dumps({"SYSTEMD_OFFLINE": "1", **root.environment}),
            "IMAGEBUILDER_EVENTS": str(events),
        }
        options = ("--inventory", "inventory.json", "--extra-vars", "@overrides.json")
        # Isolated: nothing in the play's folder is imported as a Python module.
        argv = (sys.executable, "-I", "-m", "ansible", "playbook", *options, "playbook.json")
        return Command(argv, env=environment, cwd=play)

    def _write_play(self, play: Path, root: Chroot) -> None:
        play.mkdir()
        host = {"ansible_connection": "chroot", "ansible_python_interpreter": INTERPRETER}
        # Ansible would ask process 1, which in a build is not the image's.
        services = {"use": "systemd" if (root.path / "usr/bin/systemctl").exists() else "auto"}
        documents = {
            "playbook.json": [
                {
                    "hosts": "all",
                    "gather_facts": bool(self.facts),
                    "gather_subset": list(self.facts),
                    "module_defaults": {"service": services},
                    "vars_files": ["variables.json"],
                    "roles": [self.role],
                }
            ],
            "inventory.json": {"on_imagebuild": {"hosts": {str(root.path): host}}},
            "variables.json": {
                **self.variables,
                **{name: str(root.path) for name in BUILD_ROOTS & self.variables.keys()},
            },
            "overrides.json": dict(self.overrides),
        }
        for name, value in documents.items():
            (play / name).write_text(json.dumps(value), encoding="utf-8")
        for place, source in self.sources.items():
            if any(name.startswith(f"{place}/") for name in self.translated):
                self._mirror(play, place, source.path)
            else:
                _link(play, place, source.path)

    def _mirror(self, play: Path, place: str, source: Path) -> None:
        """Show a folder with the translated files in the place of what was translated."""
        for folder, _, files in os.walk(source):
            target = play / place / os.path.relpath(folder, source)
            target.mkdir(parents=True, exist_ok=True)
            for name in files:
                text = self.translated.get(os.path.normpath(f"{place}/{os.path.relpath(folder, source)}/{name}"))
                if text is None:
                    (target / name).symlink_to(Path(folder, name))
                else:
                    (target / name).write_text(text, encoding="utf-8")


def _link(play: Path, place: str, target: Path) -> None:
    """Show `target` at its place; entries of a folder that has two places in the tree come together in one."""
    link = play / place.removeprefix("common/")
    if target.is_dir() and not place.startswith("roles"):
        link.mkdir(parents=True, exist_ok=True)
        for entry in target.iterdir():
            if not (link / entry.name).exists():
                (link / entry.name).symlink_to(entry)
    else:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
