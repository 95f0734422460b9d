"""Tasks of old roles that the build itself does by now, told by what they do and to which variable. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagebuilder.spec.inventory import Kind
from imagebuilder.spec.legacy.tasks import Task, module_of

_COPIES = frozenset({"copy", "template"})
_COMMANDS = frozenset({"command", "shell"})
_UPDATE = re.compile(r"\s*(?:/usr/bin/)?apt-get\s+(?:-\S+\s+)*update\s*")
_HOOKS, _SCRIPTS = "/etc/initramfs-tools/hooks", "/etc/initramfs-tools/scripts"
_MODULES = re.compile(r"echo\s+[\"']?([\w{}. -]+?)[\"']?\s*>>\s*/etc/initramfs-tools/modules")
_OURS = frozenset({"squashfs", "overlayfs", "overlay", "loop", "tmpfs"})
_RUNNING_KERNEL = re.compile(r"\s*uname -r\b")
_OWN_SOURCES = re.compile(r"sources\.list|apt_repository|apt_key|apt-add-repository")

BOOT_PATH = "a script that replaces the boot path"
INSTEAD_OF_SCRIPTS = (
    "our /init sets up the card of BOOTIF and stacks BASEFS and OVERLAYFS; "
    "what else it did belongs into /opt/rc.local.hooks of an overlay"
)


@dataclass(frozen=True, slots=True)
class Context:
    """What the build does for an image of this kind without its role.

    It installs the `packages` (old variables that list them, `{package,
    version}`) and the `debs` (old variables with the name of a file). Where the
    role asks for a version of a package in `versions`, it gets that one.
    """

    kind: Kind = "overlay"
    packages: frozenset[str] = frozenset()
    debs: frozenset[str] = frozenset()
    versions: Mapping[str, str] = field(default_factory=dict)


ALONE = Context()
"""Of a role that nothing is known about."""


def needless(task: Task, context: Context) -> tuple[str, str] | None:
    """What a translated task does that need not be done, and by what it is done instead; None if it is needed."""
    module, value = module_of(task)
    said = set(re.findall(r"\w+", json.dumps(task, default=str)))
    if module == "apt" and (names := context.packages & said):
        return f"installing `{min(names)}`", "the build installs it before the role runs"
    if module in {"apt", *_COPIES, *_COMMANDS, "file"} and (names := context.debs & said):
        return f"installing `{min(names)}`", "`debs` of the image"
    if module in {"lineinfile", *_COPIES, "apt_repository"} and "repository_lists" in said:
        return "writing `repository_lists`", "the build and the image have these package sources"
    return _of_initrd(module, value, task) if context.kind == "initrd" else None


def _of_initrd(module: str, value: Any, task: Task) -> tuple[str, str] | None:
    options: Mapping[str, Any] = value if isinstance(value, dict) else {}
    dest = str(options.get("dest", options.get("path", "")))
    if module == "apt" and str(options.get("name", options.get("pkg"))).startswith("linux-image-"):
        return "installing the kernel", "`kernel_package`"
    if module in _COPIES and dest.startswith(_HOOKS) and "initrd_include_binaries" in json.dumps(task):
        return "hooks for `initrd_include_binaries`", "`include_binaries` of the image"
    if module in _COPIES and dest.startswith(_SCRIPTS):
        what = dest.removeprefix(f"{_SCRIPTS}/")
        return f"{BOOT_PATH}, `scripts/{what}`", INSTEAD_OF_SCRIPTS
    if module in _COMMANDS and (names := _module_names(str(value), task)) and names <= _OURS:
        return "modules for the boot path", "they are in every initrd"
    return None


def _module_names(command: str, task: Task) -> set[str]:
    """The modules that a command adds to initramfs-tools' list."""
    match = _MODULES.fullmatch(command.strip())
    if not match:
        return set()
    items = task.get("with_items", task.get("loop", []))
    return set(items) if re.fullmatch(r"\{\{\s*item\s*\}\}", match[1]) and isinstance(items, list) else {match[1]}


def is_update(task: Task) -> bool:
    """Whether all that a task does is to renew apt's indexes."""
    module, value = module_of(task)
    if module == "apt" and isinstance(value, dict):
        return "update_cache" in value and value.keys() <= {"update_cache", "cache_valid_time"}
    return module in _COMMANDS and isinstance(value, str) and _UPDATE.fullmatch(value) is not None


def brings_sources(tasks: list[Task]) -> bool:
    """Whether tasks add package sources, so that the indexes have to be renewed."""
    return _OWN_SOURCES.search(json.dumps(tasks, default=str)) is not None


def unused_looks(tasks: list[Task]) -> Iterator[Task]:
    """Tasks that ask for the build host's kernel, where no other task reads the answer any more."""
    for task in tasks:
        module, value = module_of(task)
        if module in _COMMANDS and "register" in task and _RUNNING_KERNEL.match(str(value)):
            others = json.dumps([other for other in tasks if other is not task], default=str)
            if not re.search(rf"\b{re.escape(str(task['register']))}\b", others):
                yield task
