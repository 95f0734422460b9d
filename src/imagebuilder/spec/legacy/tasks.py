"""One task of Ansible 1.9 or 2.1 as one of today. Pure.

What today's Ansible refuses is rewritten: `include:`, `sudo:`, tests written
as filters, ... So is what it takes for something else: `with_items: names`
loops over the word `names` now. What has no modern form is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imagebuilder.errors import SpecError
from imagebuilder.spec.legacy import arguments
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.yamlfile import Document, Key

Task = dict[str, Any]

BLOCKS = ("block", "rescue", "always")
KEYWORDS = frozenset(
    {
        *("any_errors_fatal", "apply", "args", "async", "become", "become_exe", "become_flags", "become_method"),
        *("become_user", "changed_when", "check_mode", "collections", "connection", "debugger", "delay"),
        *("delegate_facts", "delegate_to", "diff", "environment", "failed_when", "ignore_errors"),
        *("ignore_unreachable", "listen", "local_action", "loop", "loop_control", "module_defaults", "name"),
        *("no_log", "notify", "poll", "port", "register", "remote_user", "retries", "run_once", "tags", "throttle"),
        *("timeout", "until", "vars", "when"),
    }
)
"""Keys of a task that are not its module."""

_FREE_FORM = frozenset({"add_host", "command", "debug", "include_vars", "meta", "raw", "script", "shell", "set_fact"})
_BARE = frozenset({"with_items", "with_dict", "with_indexed_items", "with_flattened", "with_random_choice"})
_BARE_PARTS = frozenset(["with_nested", "with_cartesian", "with_together", "with_subelements"])
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_CONDITIONS = frozenset({"when", "until", "changed_when", "failed_when"})
_TESTS = {"success": "succeeded", "failed": "failed", "changed": "changed", "skipped": "skipped"}
_FILTERED = re.compile(rf"([\w.\[\]'\"]+?)\s*\|\s*({'|'.join(_TESTS)})\b(?!\s*\()")
_OUTPUT = re.compile(r"(not\s+)?([\w.]+\.(?:stdout|stderr))")
_WHOLE = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}", re.DOTALL)
_STATES = {"installed": "present", "removed": "absent"}
_PACKAGE_MODULES = frozenset({"apt", "package", "yum", "dnf", "pip"})

_GONE: Mapping[str, str] = {
    "first_available_file": "`src: \"{{ lookup('first_found', [...]) }}\"`",
    "only_if": "`when: a == b`",
    "when_changed": "`when: result is changed`",
    "when_failed": "`when: result is failed`",
    "when_float": "`when: a == b`",
    "when_integer": "`when: a == b`",
    "when_set": "`when: a is defined`",
    "when_string": "`when: a == b`",
    "when_unset": "`when: a is not defined`",
    "hosts": "a file of tasks: the wrapper playbook says which hosts a role runs on",
    "sudo_pass": "nothing: a build is root already",
    "su_pass": "nothing: a build is root already",
}
"""Keys that have no translation -> what to write."""

_RENAMED: Mapping[str, str] = {"sudo": "become", "su": "become", "sudo_user": "become_user", "su_user": "become_user"}


@dataclass(frozen=True, slots=True)
class Translator:
    """Translates the tasks of one document; `changes` collects what it did."""

    document: Document
    changes: list[Change] = field(default_factory=list)

    def tasks(self, given: Any, *keys: Key) -> Any:
        """The tasks of a list that stands at `keys`; anything else is for Ansible to complain about."""
        if not isinstance(given, list):
            return given
        return [self.task(task, *keys, i) if isinstance(task, dict) else task for i, task in enumerate(given)]

    def task(self, given: Task, *keys: Key) -> Task:
        """One task. Raises SpecError for what cannot be translated."""
        task: Task = {}
        for key, value in given.items():
            if key in _GONE:
                raise SpecError(
                    f"Ansible has no `{key}:` any more",
                    location=self.document.at(*keys, key),
                    hint=f"write {_GONE[key]}",
                )
            where = (*keys, key)
            if key in BLOCKS:
                task[key] = self.tasks(value, *where)
            elif key in _RENAMED:
                self._renamed(task, key, value, where)
            elif key == "always_run":
                self._say(where, "`always_run:`", "`check_mode:`")
                task["check_mode"] = not _truth(value)
            elif key in ("static", "vars") and "include" in given:
                continue
            elif key == "include":
                task |= self._include(given, where)
            else:
                task[key] = self._value(key, value, where)
        return self._coalesced(_applied(task), keys)

    def _say(self, where: tuple[Key, ...], old: str, new: str, *, refused: bool = True) -> None:
        self.changes.append(Change(self.document.at(*where), old, new, refused))

    def _renamed(self, task: Task, key: str, value: Any, where: tuple[Key, ...]) -> None:
        new = _RENAMED[key]
        self._say(where, f"`{key}:`", f"`{new}:`")
        if new == "become":
            task["become"] = _truth(value)
        else:
            task |= {"become": True, "become_user": value}

    def _value(self, key: str, value: Any, where: tuple[Key, ...]) -> Any:
        """The value of any key that keeps its name."""
        if key in _BARE and isinstance(value, str):
            return self._wrapped(value, where, f"a bare variable in `{key}:`")
        if key in _BARE_PARTS and isinstance(value, list):
            # The second of subelements is a key, not a variable.
            bare = value[:1] if key == "with_subelements" else value
            wrapped = [
                self._wrapped(part, where, f"a bare variable in `{key}:`")
                if isinstance(part, str) and _NAME.fullmatch(part)
                else part
                for part in bare
            ]
            return wrapped + value[len(bare) :]
        if key == "environment" and isinstance(value, str):
            return self._wrapped(value, where, "a bare variable in `environment:`")
        if key in _CONDITIONS:
            return self._conditions(value, where)
        if key == "vars" and isinstance(value, list) and all(isinstance(part, dict) for part in value):
            self._say(where, "a list of `vars:`", "a mapping")
            return {name: inner for part in value for name, inner in part.items()}
        if key in ("action", "local_action") or key in KEYWORDS or key.startswith("with_"):
            return value
        return self._arguments(key, value, where)

    def _wrapped(self, text: str, where: tuple[Key, ...], old: str) -> str:
        if "{{" in text or "{%" in text:
            return text
        self._say(where, old, '`"{{ name }}"`')
        return f"{{{{ {text.strip()} }}}}"

    def _conditions(self, value: Any, where: tuple[Key, ...]) -> Any:
        if isinstance(value, list):
            return [self._conditions(part, where) for part in value]
        if not isinstance(value, str):
            return value
        text = value.strip()
        if match := _WHOLE.fullmatch(text):
            text = match[1].strip()
            self._say(where, "braces around a condition", "the condition without them", refused=False)
        text, count = _FILTERED.subn(lambda match: f"{match[1]} is {_TESTS[match[2]]}", text)
        if count:
            self._say(where, "a test written as a filter, `x|success`", "`x is succeeded`")
        if match := _OUTPUT.fullmatch(text):
            self._say(where, "a text as a condition, `x.stdout`", "`x.stdout != ''`")
            text = f"{match[2]} {'==' if match[1] else '!='} ''"
        return text

    def _include(self, given: Task, where: tuple[Key, ...]) -> Task:
        """`include: FILE name=value` of tasks: imported, unless only the running play knows the file."""
        value = given["include"]
        if not isinstance(value, str) or not value.strip():
            raise SpecError("`include:` names a file", location=self.document.at(*where), hint="`import_tasks: x.yml`")
        (file, *_), pairs = arguments.parsed(value)
        variables: dict[str, Any] = dict(pairs)
        looped = any(key.startswith("with_") or key == "loop" for key in given)
        static = _truth(given["static"]) if "static" in given else not looped and "{{" not in file
        if "vars" in given:
            variables |= self._value("vars", given["vars"], (*where[:-1], "vars"))
        new = "import_tasks" if static else "include_tasks"
        self._say(where, "`include:` of tasks", f"`{new}:`")
        return {new: file, **({"vars": variables} if variables else {})}

    def _arguments(self, module: str, value: Any, where: tuple[Key, ...]) -> Any:
        """A module's arguments as a mapping."""
        if isinstance(value, str) and "=" in value and module.rpartition(".")[2] not in _FREE_FORM:
            free, pairs = arguments.parsed(value)
            if not free:
                self._say(where, "`key=value` arguments", "a mapping", refused=False)
                value = dict(pairs)
        if isinstance(value, dict) and module in _PACKAGE_MODULES and value.get("state") in _STATES:
            new = _STATES[value["state"]]
            self._say(where, f"`state: {value['state']}`", f"`state: {new}`")
            value = {**value, "state": new}
        return value

    def _coalesced(self, task: Task, keys: tuple[Key, ...]) -> Task:
        """A loop of apt calls as one call for the whole list, where that changes nothing else."""
        loops = [key for key in ("with_items", "loop") if key in task]
        if len(loops) != 1 or not isinstance(task.get("apt"), dict) or _depends_on_item(task):
            return task
        options = dict(task["apt"])
        name = next((key for key in ("name", "pkg", "package") if key in options), None)
        whole = _whole_list(str(options.pop(name)), task[loops[0]]) if name else None
        if whole is None or _mentions_item(options):
            return task
        self._say(keys, "a loop of `apt:`", "one `apt:` with the whole list")
        rest = {key: value for key, value in task.items() if key != loops[0]}
        return {**rest, "apt": {"name": whole, **options}}


def module_of(task: Mapping[str, Any]) -> tuple[str, Any]:
    """The name of a translated task's module and its arguments; ("", None) when it has none."""
    for key, value in task.items():
        if key not in KEYWORDS and key not in BLOCKS and not key.startswith("with_") and key != "action":
            return key.removeprefix("ansible.builtin."), value
    return "", None


def _truth(value: Any) -> Any:
    """YAML's and Ansible's yes; a template stays one."""
    return (
        value.strip().lower() in ("yes", "true", "1", "on") if isinstance(value, str) and "{{" not in value else value
    )


def _applied(task: Task) -> Task:
    """What a dynamic include hands down stands under `apply`."""
    moved = {key: task[key] for key in ("become", "become_user", "environment") if key in task}
    if "include_tasks" not in task or not moved or not isinstance(task["include_tasks"], str):
        return task
    applied = {"file": task["include_tasks"], "apply": moved}
    return {key: applied if key == "include_tasks" else value for key, value in task.items() if key not in moved}


def _mentions_item(value: Any) -> bool:
    return re.search(r"\bitem\b", str(value)) is not None


def _depends_on_item(task: Task) -> bool:
    """Whether a task's result, or whether it runs at all, is another one for each item."""
    apart = {"register", "until", "loop_control", "ignore_errors", "changed_when", "failed_when", "local_action"}
    return bool(apart & task.keys()) or _mentions_item([task.get(key) for key in ("when", "vars", "environment")])


_ITEM: Mapping[str, Callable[[str, re.Match[str]], str]] = {
    r"\{\{\s*item\s*\}\}": lambda items, _: f"{{{{ {items} }}}}",
    r"\{\{\s*item\.(\w+)\s*\}\}": lambda items, m: f"{{{{ {items} | map(attribute='{m[1]}') | list }}}}",
    r"\{\{\s*item\.(\w+)\s*\}\}=\{\{\s*item\.(\w+)\s*\}\}": lambda items, m: (
        f"{{{{ {items} | map(attribute='{m[1]}') | zip({items} | map(attribute='{m[2]}'))"
        " | map('join', '=') | list }}"
    ),
}
"""What `name:` says of an item -> the same of all items."""


def _whole_list(name: str, loop: Any) -> Any:
    """`name`, said of each item of a loop, as one list; None where that is not known to be the same."""
    if isinstance(loop, list):
        plain = all(isinstance(item, str) and "{{" not in item for item in loop)
        return loop if plain and re.fullmatch(r"\{\{\s*item\s*\}\}", name) else None
    found = _WHOLE.fullmatch(str(loop))
    if not found:
        return None
    items = found[1].strip() if _NAME.fullmatch(found[1].strip()) else f"({found[1].strip()})"
    matches = ((make, re.fullmatch(pattern, name)) for pattern, make in _ITEM.items())
    return next((make(items, match) for make, match in matches if match), None)
