"""What `ansible-playbook` tells while it runs (the lines of `imagebuilder.ansible.callback.events`), as values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.errors import ImagebuilderError, Location, SpecError

_UNDEFINED = re.compile(r"'([^']+)' is undefined")
_UNKNOWN_MODULE = re.compile(r"couldn't resolve module/action '([^']+)'")
_ERROR = re.compile(r"^(?:\[ERROR\]|ERROR!?): (?P<message>.+?)$(?:\n+Origin: (?P<origin>.+))?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """A task of the role begins; `where` is its file and line."""

    task: str
    where: Location


@dataclass(frozen=True, slots=True)
class TaskEnded:
    """A task of the role ended after `seconds`; `status` is ok, changed, skipped, ignored or failed.

    The rest speaks of failures: the module's `message`, what it printed, the
    loop item it was at, and the `origin` of the value at fault if known.
    """

    task: str
    where: Location
    status: str
    seconds: float
    message: str = ""
    output: str = ""
    item: str | None = None
    origin: Location | None = None


class EventFile:
    """Reads what was appended to the file of events since the last look.

    `places` are the beginnings of paths as Ansible knows them, and as the user does.
    """

    def __init__(self, path: Path, places: tuple[str, str] = ("", "")) -> None:
        self._path = path
        self._places = places
        self._offset = 0
        path.touch()

    @property
    def path(self) -> Path:
        return self._path

    def read(self) -> Iterator[TaskStarted | TaskEnded]:
        """The events since the last call; a line that is still being written waits for the next one."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            yield parse(self.in_tree(line.decode()))

    def in_tree(self, text: str) -> str:
        """A text of Ansible's with the paths that the user knows."""
        play, tree = self._places
        return text.replace(play, tree) if play else text


def parse(line: str | bytes) -> TaskStarted | TaskEnded:
    """One line of the file. Raises KeyError or ValueError when it is none."""
    fields = json.loads(line)
    kind, where = fields.pop("event"), location(fields.pop("where"))
    if kind == "start":
        return TaskStarted(fields["task"], where)
    origin = fields.pop("origin", "")
    return TaskEnded(where=where, origin=location(origin) if origin else None, **fields)


def location(text: str) -> Location:
    """Read Ansible's `FILE:LINE` or `FILE:LINE:COLUMN`."""
    match = re.fullmatch(r"(.*?)(?::(\d+))?(?::\d+)?", text)
    assert match
    return Location(Path(match[1]), int(match[2] or 0))


def failure(role: str, failed: Sequence[TaskEnded], printed: str) -> ImagebuilderError:
    """The error to show, from the failed tasks, or from what Ansible printed when it came to none."""
    if failed:
        return _task_failure(failed[-1])
    match = _ERROR.search(printed)
    if not match:
        return ImagebuilderError(f"the role `{role}` could not be run by Ansible", detail=printed)
    module = _UNKNOWN_MODULE.search(match["message"])
    where = location(match["origin"]) if match["origin"] else Location(Path(role))
    if module:
        return SpecError(
            f"there is no module `{module[1]}` in ansible-core",
            location=where,
            hint="modules of collections are found after `ansible-galaxy collection install -p collections NAME` "
            "in the image tree",
        )
    return SpecError(match["message"], location=where)


def _task_failure(task: TaskEnded) -> ImagebuilderError:
    undefined = _UNDEFINED.search(task.message)
    if undefined:
        return _undefined(task, undefined[1])
    item = f" at the item `{task.item}`" if task.item is not None else ""
    return ImagebuilderError(f"{task.where}: the task `{task.task}` failed{item}: {task.message}", detail=task.output)


def _undefined(task: TaskEnded, name: str) -> SpecError:
    place, user = task.origin or task.where, f"the task `{task.task}`"
    if not place.file.is_absolute():
        # In the folder of the play: from the image tree, of which the play knows only the values.
        place, user = task.where, f"a variable that the task `{task.task}` uses"
    elif not place.line:
        place = _first_mention(place.file, name)
    return SpecError(
        f"{user} needs `{name}`, which is undefined",
        location=place,
        hint="give it a value in the config file, in group_vars or in the role's defaults",
    )


def _first_mention(file: Path, name: str) -> Location:
    """Of an error in a template Ansible tells the file, not the line."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (number for number, text in enumerate(lines, start=1) if re.search(rf"\b{re.escape(name)}\b", text))
    return Location(file, next(found, 0))
