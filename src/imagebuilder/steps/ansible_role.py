"""What a role reads of the image tree: itself, the roles it names, the tree's files, variables and facts.

Only what is found here is shown to Ansible. So a change of anything else
cannot matter, and a thing that was overlooked is a clear error, never a stale
image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from imagebuilder.spec.legacy.needless import ALONE, Context
from imagebuilder.spec.legacy.roles import read_role
from imagebuilder.steps.base import Source

_ROLE_ACTIONS = {f"{prefix}{verb}_role" for prefix in ("", "ansible.builtin.") for verb in ("include", "import")}
_ROLE_TEXTS = ("tasks", "handlers", "templates", "defaults", "vars", "meta")
_TEXT_LIMIT = 1 << 20

_SEARCHED_FOLDERS = ("files", "templates")
_BESIDE_PLAYBOOK = re.compile(r"playbook_dir\s*\}\}/+([\w.-]+)")

_FACT = re.compile(r"\bansible_(?:facts(?:\.|\[['\"]))?(\w+)")
_NO_FACTS = re.compile(
    r"become\w*|check_mode|collection_name|connection|diff_mode|failed_\w+|forks|host|index_var|inventory_sources|"
    r"limit|loop(_var)?|managed|parent_role_\w+|play_\w+|playbook_python|port|python_interpreter|role_\w+|run_tags|"
    r"search_path|shell_\w+|skip_tags|user|verbosity|version"
)
_CHEAP_FACTS = re.compile(
    r"architecture|date_time|distribution\w*|env|fqdn|hostname|kernel|lsb|machine|nodename|os_family|pkg_mgr|"
    r"python\w*|service_mgr|system|user_\w+"
)
"""Facts that `gather_subset: ["!all"]` sets (without `ansible_`), as far as roles for images use them."""


@dataclass(frozen=True, slots=True)
class RoleReads:
    """`sources` by their place in the tree; `facts` as Ansible's `gather_subset`, empty for none.

    `translated` is the text, by its place, of each file that today's Ansible would not take as it is.
    """

    sources: Mapping[str, Source]
    translated: Mapping[str, str]
    variables: Mapping[str, Any]
    facts: tuple[str, ...]


def role_reads(tree: Path, role: str, variables: Mapping[str, Any], context: Context = ALONE) -> RoleReads:
    """Read the role at `role` (a path in the tree) and all that it names. Raises SpecError for what is too old."""
    roles = sorted(_closure(tree, role))
    text = "\n".join(body for place in roles for body in _texts(tree / place))
    named = _named_variables({k: v for k, v in variables.items() if not _is_ansibles_own(k)}, text)
    text += json.dumps(named)
    places = [*roles, *_shared_folders(tree, text)]
    translated = {
        str(path.relative_to(tree)): file.text()
        for place in roles
        for path, file in read_role(tree, tree / place, context).refused.items()
    }
    return RoleReads({place: Source.of(tree / place) for place in places}, translated, named, _facts(text))


def _closure(tree: Path, role: str) -> set[str]:
    """The places of a role and of all roles that it depends on or includes."""
    found: set[str] = set()
    waiting = [role]
    while waiting:
        place = waiting.pop()
        if place in found:
            continue
        found.add(place)
        for name in _named_roles(tree / place):
            if "{{" in name:
                return {"roles"}
            waiting += _places(tree, place, name)
    return found


def _places(tree: Path, dependent: str, name: str) -> list[str]:
    """Where a role that `dependent` names lies, in the order in which Ansible looks."""
    candidates = (f"roles/{name}", str(Path(dependent).parent / name), name)
    return [place for place in candidates if (tree / place).is_dir()][:1]


def _named_roles(role: Path) -> Iterator[str]:
    meta = _yaml(role / "meta/main.yml") or {}
    for entry in (meta.get("dependencies") if isinstance(meta, dict) else None) or []:
        yield str((entry.get("role") or entry.get("name")) if isinstance(entry, dict) else entry)
    for folder in ("tasks", "handlers"):
        for path in sorted((role / folder).rglob("*.y*ml")):
            yield from _included_roles(_yaml(path))


def _included_roles(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _included_roles(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in _ROLE_ACTIONS and isinstance(inner, dict) and "name" in inner:
                yield str(inner["name"])
            else:
                yield from _included_roles(inner)


def _yaml(path: Path) -> Any:
    """A file's value, or nothing when it is missing or wrong: Ansible itself says so better."""
    try:
        return yaml.load(path.read_bytes(), _Loader)
    except (OSError, yaml.YAMLError):
        return None


class _Loader(yaml.SafeLoader):
    """YAML whose unknown tags (!vault, !unsafe) are read as if they were not there."""


_Loader.add_constructor(None, lambda _loader, node: node.value)


def _texts(role: Path) -> Iterator[str]:
    """The role's files that may hold Jinja or names of files; a large one holds neither."""
    paths = [p for folder in _ROLE_TEXTS for p in role.rglob(f"{folder}/**/*")]
    for path in sorted(set(paths)):
        if path.is_file() and path.stat().st_size < _TEXT_LIMIT:
            yield path.read_text(encoding="utf-8", errors="replace")


def _named_variables(variables: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The variables that a text names, and those that their values name. All, when the text looks them up by value."""
    if re.search(r"\b(?:vars|hostvars)\b\s*\[|lookup\(\s*['\"](?:ansible\.builtin\.)?vars|varnames", text):
        return dict(variables)
    named: dict[str, Any] = {}
    waiting = [text]
    while waiting:
        words = set(re.findall(r"[A-Za-z_]\w*", waiting.pop()))
        for name in sorted(words & variables.keys() - named.keys()):
            named[name] = variables[name]
            waiting.append(json.dumps(variables[name]))
    return named


def _is_ansibles_own(name: str) -> bool:
    """Whether Ansible itself sets a variable: the tree's reader may guess at it, for the keys that it renders."""
    return name == "playbook_dir" or (name.startswith("ansible_") and _facts(name) != ())


def _shared_folders(tree: Path, text: str) -> list[str]:
    """The folders of the tree itself that a text speaks of, and collections installed into the tree.

    What lies beside the playbook may be the tree's own or, as in 2015, in its `common/`.
    """
    beside = [place for name in _BESIDE_PLAYBOOK.findall(text) if name != "roles" for place in _both(name)]
    searched = [place for name in _SEARCHED_FOLDERS for place in _both(name) if _names_entry(tree / place, text)]
    return [place for place in sorted({*beside, *searched, "collections"}) if (tree / place).exists()]


def _both(name: str) -> tuple[str, str]:
    return name, f"common/{name}"


def _names_entry(folder: Path, text: str) -> bool:
    return folder.is_dir() and any(entry.name in text for entry in folder.iterdir())


def _facts(text: str) -> tuple[str, ...]:
    """The cheapest `gather_subset` that has all facts that a text names."""
    names = [name for name in _FACT.findall(text) if not _NO_FACTS.fullmatch(name)]
    if not names:
        return ()
    return ("!all",) if all(map(_CHEAP_FACTS.fullmatch, names)) else ("all",)
