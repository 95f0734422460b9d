"""Which key signs what a tree's builds make, and which keys its initrds trust. Reads the tree's key files."""

from __future__ import annotations

from pathlib import Path

from imagebuilder.errors import SpecError, UserError
from imagebuilder.spec.tree import TreeSpec
from imagebuilder.store.signing import PublicKey, SecretKey


def signing_key(tree: TreeSpec) -> SecretKey | None:
    """The key of `signing_key:`. Raises SpecError for a file that is missing or is no such key."""
    name = tree.settings.signing_key
    if name is None:
        return None
    try:
        return SecretKey.from_text(_read(tree, "signing_key", name))
    except UserError as error:
        raise _at(tree, "signing_key", f"`signing_key: {name}`: {error.message}", error.hint) from None


def trusted_keys(tree: TreeSpec) -> tuple[str, ...]:
    """The public keys that initrds trust, one line each: those of `trusted_keys:`, and the one that signs.

    Raises SpecError for what is no key.
    """
    lines: list[str] = []
    for given in tree.settings.trusted_keys:
        text = given if given.startswith("RW") else _read(tree, "trusted_keys", given)
        try:
            lines.append(PublicKey.from_text(text).line)
        except UserError as error:
            raise _at(tree, "trusted_keys", f"`trusted_keys: [{given}]`: {error.message}", error.hint) from None
    if key := signing_key(tree):
        lines.append(key.public.line)
    return tuple(dict.fromkeys(lines))


def _read(tree: TreeSpec, key: str, name: str) -> str:
    path = tree.root / Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _at(tree, key, f"the key {path} cannot be read: {error}", "`imagebuilder keygen` makes a pair") from None


def _at(tree: TreeSpec, key: str, message: str, hint: str | None) -> SpecError:
    return SpecError(message, location=tree.settings_document.at(key), hint=hint)
