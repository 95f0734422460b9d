"""The files of an old role in today's syntax.

Files are looked for in `tasks/` and `handlers/`; `meta/`, variables and
templates are what they were. A file that YAML or Ansible itself refuses is
left to them: they say better what is wrong with it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuilder.errors import SpecError
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.legacy.needless import Context, brings_sources, is_update, needless, unused_looks
from imagebuilder.spec.legacy.pins import Pin, pinned, pins_in, pins_of_lists
from imagebuilder.spec.legacy.tasks import BLOCKS, Task, Translator, module_of
from imagebuilder.spec.yamlfile import Document, parse

_TAGS = ("!unsafe", "!vault")  # nothing of 2015 has them
_SOURCE_LIMIT = 1 << 16
_AGENT_OF_2015 = "bootstrap.js"


@dataclass(frozen=True, slots=True)
class TaskFile:
    """The tasks of one file, each with the index that it had; `document` is what the user wrote."""

    document: Document
    tasks: tuple[tuple[int, Task], ...]

    def text(self) -> str:
        """The tasks as YAML for Ansible, each on the line where it began, so that errors point there."""
        lines: list[str] = []
        for index, task in self.tasks:
            lines += [""] * (self.document.at(index).line - 1 - len(lines))
            lines.append(f"- {json.dumps(task, ensure_ascii=False)}")
        return "\n".join(lines or ["[]"]) + "\n"


@dataclass(frozen=True, slots=True)
class OldRole:
    """A role (or a folder of roles): its files that had to be changed, and what was changed.

    `empty`: nothing is left to do. `on_build_root`: it writes what
    initramfs-tools reads, and so works on a root that has packages.
    """

    files: Mapping[Path, TaskFile]
    changes: tuple[Change, ...]
    empty: bool
    on_build_root: bool

    def pins(self, lists: Mapping[str, tuple[Any, Document]]) -> tuple[Pin, ...]:
        """The versions that it asks for itself, or by `lists` (variables, each with where it stands).

        None are known of a role that brings package sources of its own.
        """
        tasks = _tasks_of(self.files)
        if brings_sources(tasks):
            return ()
        own = (pin for file in self.files.values() for pin in pins_in(file.tasks, file.document))
        return (*own, *pins_of_lists(tasks, lists))

    @property
    def refused(self) -> Mapping[Path, TaskFile]:
        """The files that today's Ansible would not take as they are."""
        places = {change.location.file for change in self.changes if change.refused}
        return {path: file for path, file in self.files.items() if path in places}


def read_role(tree: Path, folder: Path, context: Context) -> OldRole:
    """Translate every file of tasks below `folder`. Raises SpecError for what has no modern form."""
    changes: list[Change] = []
    files: dict[Path, TaskFile] = {}
    paths = sorted(p for part in ("tasks", "handlers") for p in folder.rglob(f"{part}/**/*.y*ml"))
    for path in paths:
        if document := _tasks_in(path):
            translator = Translator(document)
            files[path] = TaskFile(document, tuple(enumerate(translator.tasks(document.value))))
            changes += translator.changes
    reader = _Reader(tree, folder, context, files, changes)
    reader.drop_needless()
    reader.drop_empty()
    if context.versions:
        reader.pin_anew()
    left = _tasks_of(files)
    return OldRole(
        files=files,
        changes=tuple(changes),
        empty=bool(changes) and not left and paths == list(files) and not (folder / "meta").exists(),
        on_build_root=context.kind == "initrd" and _works_on_build_root(left),
    )


def _tasks_in(path: Path) -> Document | None:
    """A file's list of tasks, if it is one that can be read."""
    try:
        text = path.read_text(encoding="utf-8")
        document = parse(text, path)
    except (OSError, UnicodeDecodeError, SpecError):
        return None
    tagged = any(tag in text for tag in _TAGS)
    mappings = isinstance(document.value, list) and all(isinstance(task, dict) for task in document.value)
    return document if mappings and not tagged else None


def _tasks_of(files: Mapping[Path, TaskFile]) -> list[Task]:
    return [task for file in files.values() for _, task in file.tasks]


def _works_on_build_root(tasks: list[Task]) -> bool:
    return re.search(r'"apt":|initramfs-tools|update-initramfs', json.dumps(tasks, default=str)) is not None


@dataclass(frozen=True, slots=True)
class _Reader:
    tree: Path
    folder: Path
    context: Context
    files: dict[Path, TaskFile]
    changes: list[Change]

    def drop_needless(self) -> None:
        """Take out what the build does itself."""
        self._drop(self._reason)
        if not brings_sources(_tasks_of(self.files)):
            renewed = ("renewing apt's indexes", "the build brings them up to date")
            self._drop(lambda task: renewed if is_update(task) else None)
        if self.context.kind == "initrd":
            unused = list(unused_looks(_tasks_of(self.files)))
            known = ("asking for the build host's kernel", "`kernel_package` says which it is")
            self._drop(lambda task: known if task in unused else None)

    def drop_empty(self) -> None:
        """Take out imports of files that have no tasks any more, until none is left."""
        while True:
            before = _tasks_of(self.files)
            empty = {path for path, file in self.files.items() if not file.tasks}
            for path, file in list(self.files.items()):
                kept = tuple((i, task) for i, task in file.tasks if _imported(path, task) not in empty)
                self.files[path] = TaskFile(file.document, kept)
            if _tasks_of(self.files) == before:
                return

    def pin_anew(self) -> None:
        """Put the context's versions in the place of others."""
        for path, file in self.files.items():
            tasks = tuple((i, pinned(task, self._version)) for i, task in file.tasks)
            for (index, old), (_, new) in zip(file.tasks, tasks, strict=True):
                if old != new:
                    self.changes.append(Change(file.document.at(index), "a version of a package", "another one"))
            self.files[path] = TaskFile(file.document, tasks)

    def _version(self, package: str, version: str) -> str:
        return self.context.versions.get(package, version)

    def _drop(self, reason: Callable[[Task], tuple[str, str] | None]) -> None:
        for path, file in self.files.items():
            kept = []
            for index, task in file.tasks:
                if found := reason(task):
                    self._forget(file.document, index)
                    self.changes.append(Change(file.document.at(index), *found))
                else:
                    kept.append((index, task))
            self.files[path] = TaskFile(file.document, tuple(kept))

    def _forget(self, document: Document, index: int) -> None:
        """What was changed in a task matters no more when it is left out."""
        first = document.at(index).line
        end = document.lines.get((index + 1,), sys.maxsize)
        self.changes[:] = [
            c for c in self.changes if c.location.file != document.path or not first <= c.location.line < end
        ]

    def _reason(self, task: Task) -> tuple[str, str] | None:
        if any(key in task for key in BLOCKS):
            return None
        if self._brings_old_agent(task):
            return (
                "an /etc/rc.local that runs RackHD's bootstrap.js",
                "our own, which runs /opt/rc.local.hooks and the agent; bootstrap.js needs a Node.js below version 7",
            )
        return needless(task, self.context)

    def _brings_old_agent(self, task: Task) -> bool:
        module, value = module_of(task)
        if module not in ("copy", "template") or not isinstance(value, dict) or self.context.kind != "base":
            return False
        return value.get("dest") == "/etc/rc.local" and any(
            _AGENT_OF_2015 in source.read_text(encoding="utf-8", errors="replace")
            for source in self._sources(str(value.get("src", "")))
            if source.stat().st_size < _SOURCE_LIMIT
        )

    def _sources(self, name: str) -> Iterator[Path]:
        """Where a role's `src` may lie."""
        name = re.sub(r"\{\{\s*playbook_dir\s*\}\}/+", "", name)
        folders = (self.folder / "files", self.folder / "templates", self.tree, self.tree / "common")
        return (folder / name for folder in folders if "{{" not in name and (folder / name).is_file())


def _imported(path: Path, task: Task) -> Path | None:
    """The file of the same role that a task imports or includes."""
    name = task.get("import_tasks", task.get("include_tasks"))
    name = name.get("file") if isinstance(name, dict) else name
    return path.parent / name if isinstance(name, str) else None
