"""An old tree as a modern one: every file of it, and a report of what was changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagebuilder import resources
from imagebuilder.errors import Location, UserError
from imagebuilder.migrate import configs, playbooks, roles
from imagebuilder.migrate.pieces import dumped
from imagebuilder.migrate.variables import dropped, words
from imagebuilder.spec.inventory import GROUP, load_inventory
from imagebuilder.spec.legacy.changes import Change
from imagebuilder.spec.legacy.roles import OldRole
from imagebuilder.spec.tree import ImageSpec, read_tree
from imagebuilder.spec.yamlfile import Document, load

REPORT = "MIGRATED.txt"
_OURS = ("ansible.cfg", "common/initrd_wrapper.yml", "common/basefs_wrapper.yml", "common/overlay_wrapper.yml")
_PLUGINS = "common/action_plugins"
_NOT_COPIED = frozenset({".git", "__pycache__"})
_SETTINGS = "group_vars/on_imagebuild"


@dataclass(frozen=True, slots=True)
class Migration:
    """The new tree: by path in it the text of a file that was written, or the file that is copied; and the report."""

    texts: Mapping[str, str]
    copies: Mapping[str, Path]
    changes: tuple[Change, ...]


def migrate(old: Path) -> Migration:
    """Read an old tree. Raises SpecError for what has no modern form; writes nothing."""
    old = old.resolve()
    return _Migrator(old, *_read(old)).migration()


def _read(old: Path) -> tuple[Mapping[Path, Document], tuple[ImageSpec, ...], tuple[Change, ...]]:
    """The playbooks in the tree, the images that they name (each once), and how all that is read today."""
    documents = {path: load(path) for path in sorted(old.glob("*.y*ml"))}
    found = {path: document for path, document in documents.items() if playbooks.is_playbook(document)}
    if not found:
        raise UserError(
            f"`{old}` is no image tree: no playbook in it names an image", hint="name the folder of all.yml"
        )
    images: dict[Path, ImageSpec] = {}
    changes: dict[Change, None] = {}
    for path in found:
        tree = read_tree(path, {})
        changes |= dict.fromkeys(tree.changes)
        for image in tree.images:
            images.setdefault(image.document.path, image)
    return found, tuple(images.values()), tuple(changes)


@dataclass(frozen=True, slots=True)
class _Migrator:
    old: Path
    documents: Mapping[Path, Document]
    images: tuple[ImageSpec, ...]
    read_as: tuple[Change, ...]

    def migration(self) -> Migration:
        """The whole new tree."""
        known = roles.contexts(self.images)
        read = roles.read_roles(self.old, known)
        inventory = load_inventory(self.old / "hosts")
        going = self._going(read, inventory.variables)
        texts = {"hosts": playbooks.hosts(inventory), **dict(self._playbooks(read)), **dict(self._role_files(read))}
        report = [*self.read_as, *roles.changes_of(roles.left_behind(self.old, read))]
        report += playbooks.inventory_changes(inventory.variables, going, self.old / "hosts")
        for name, text, more in self._variables(going, inventory.variables, read):
            texts[name] = text
            report += more
        texts |= dict(_own_files())
        copies = {name: path for name, path in self._others(read) if name not in texts}
        report += self._left_behind(copies, texts)
        unique = dict.fromkeys(c for c in report if not c.new.startswith("without meaning"))
        return Migration(texts, copies, tuple(sorted(unique, key=lambda c: (str(c.location.file), c.location.line))))

    def _going(self, read: Mapping[Path, OldRole], inventory: Mapping[str, Any]) -> frozenset[str]:
        """The variables that nothing names any more."""
        named = {word for path, role in read.items() if not role.empty for word in roles.named(path, role)}
        for path in self.documents:
            named |= words([play.get("vars") for play in self.documents[path].value])
        for image in self.images:
            named |= words((image.document.value or {}).get("image"))
        for folder in ("templates", "common/templates"):
            named |= {w for path in (self.old / folder).rglob("*") if path.is_file() for w in words(path.read_text())}
        configs_given = [image.document.value or {} for image in self.images]
        return dropped([self._settings().value or {}, inventory, *configs_given], named)

    def _settings(self) -> Document:
        found = [self.old / "group_vars" / f"{GROUP}{end}" for end in ("", ".yml", ".yaml")]
        return next((load(path) for path in found if path.is_file()), Document(self.old / _SETTINGS, {}, {}))

    def _variables(
        self, names: frozenset[str], inventory: Mapping[str, Any], read: Mapping[Path, OldRole]
    ) -> Iterator[tuple[str, str, tuple[Change, ...]]]:
        """group_vars and config files: path, text, changes."""
        settings = self._settings()
        shared = {**inventory, **(settings.value or {})}
        old = settings.path.read_text(encoding="utf-8") if settings.path.is_file() else ""
        text, changes = configs.group_vars(old, settings, configs.Going(names, shared))
        more = {k: v for k, v in inventory.items() if k not in names and k not in (settings.value or {})}
        tail = f"\n# From the inventory.\n{dumped(more)}" if more else ""
        if text or tail:
            yield str(settings.path.relative_to(self.old)), f"{text.rstrip()}\n{tail}".lstrip("\n"), changes
        for image in self.images:
            given = image.provisioner or image.needless_role
            going = configs.Going(names, shared, bool(given and read[given.role].empty))
            path = image.document.path
            text, changes = configs.config(path.read_text(encoding="utf-8"), image, going)
            yield str(path.relative_to(self.old)), text, changes

    def _playbooks(self, read: Mapping[Path, OldRole]) -> Iterator[tuple[str, str]]:
        pairs = {
            (str(image.document.path.relative_to(self.old)), str(given.role.relative_to(self.old)))
            for image in self.images
            if (given := image.provisioner or image.needless_role) and read[given.role].empty
        }
        for path, document in self.documents.items():
            text = path.read_text(encoding="utf-8")
            yield path.name, playbooks.playbook(text, document, frozenset(pairs))

    def _role_files(self, read: Mapping[Path, OldRole]) -> Iterator[tuple[str, str]]:
        for role in read.values():
            for path, text in roles.files(role):
                if text is not None:
                    yield str(path.relative_to(self.old)), text

    def _others(self, read: Mapping[Path, OldRole]) -> Iterator[tuple[str, Path]]:
        """What is copied as it is."""
        done = {folder for folder, role in read.items() if role.empty}
        done |= roles.left_behind(self.old, read)
        emptied = {path for role in read.values() for path, text in roles.files(role) if text is None}
        for path in sorted(self.old.rglob("*")):
            parts = path.relative_to(self.old).parts
            if _NOT_COPIED & set(parts) or done & set(path.parents) or path in emptied or not path.is_file():
                continue
            if parts[0] != "common" or (len(parts) > 2 and parts[1] != "tasks"):
                yield "/".join(parts), path

    def _left_behind(self, copies: Mapping[str, Path], texts: Mapping[str, str]) -> Iterator[Change]:
        """The parts of the old wrappers."""
        for path in sorted((self.old / "common").glob("**/*.yml")):
            name = str(path.relative_to(self.old))
            if name in texts:
                yield Change(Location(path), "a wrapper of 2015", "ours in its place")
            elif name not in copies:
                yield Change(Location(path), "a part of the old wrappers", "left out: the build does its work")


def _own_files() -> Iterator[tuple[str, str]]:
    """The wrappers of today."""
    images = resources.folder("images")
    plugins = sorted(f"{_PLUGINS}/{path.name}" for path in (images / _PLUGINS).glob("*.py"))
    for name in (*_OURS, *plugins):
        yield name, (images / name).read_text(encoding="utf-8")
