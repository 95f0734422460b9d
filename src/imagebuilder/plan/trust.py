"""Which key signs what a tree's builds make, and whom its initrds trust. Reads the tree's key files."""

from __future__ import annotations

from pathlib import Path

from imagebuilder.errors import SpecError, UserError
from imagebuilder.spec.tree import TreeSpec
from imagebuilder.store.signing import PublicKey, SecretKey

_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


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


def authorities(tree: TreeSpec) -> str:
    """The certificates of `tls_ca:`, which say whose HTTPS servers nodes talk to, as PEM. Raises SpecError."""
    hint = f"certificates of authorities in PEM, `{_CERTIFICATE}`, and nothing else"
    certificates = ""
    for name in tree.settings.tls_ca:
        text = _read(tree, "tls_ca", name, hint)
        if _CERTIFICATE not in text or "PRIVATE KEY" in text:
            raise _at(tree, "tls_ca", f"`tls_ca: [{name}]` is no file of certificates", hint)
        certificates += f"{text.rstrip()}\n"
    return certificates


def _read(tree: TreeSpec, key: str, name: str, hint: str = "`imagebuilder keygen` makes a pair") -> str:
    path = tree.root / Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise _at(tree, key, f"`{key}`: {path} cannot be read: {error}", hint) from None


def _at(tree: TreeSpec, key: str, message: str, hint: str | None) -> SpecError:
    return SpecError(message, location=tree.settings_document.at(key), hint=hint)
