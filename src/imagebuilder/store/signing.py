"""Ed25519 keys and signatures as minisign writes them, so that `minisign -V` checks what we sign.

A key file and a signature are lines of text; what is binary is in base64.

    public key   untrusted comment: ...
                 "Ed" | key id (8 bytes) | public key (32)
    secret key   untrusted comment: ...
                 "Ed" | key derivation (2, zero: no password) | "B2" | salt (32) | limits (16)
                 | key id (8) | seed (32) | public key (32) | checksum (32, zero without a password)
    signature    untrusted comment: signature from minisign secret key
                 "ED" | key id (8) | signature of the data's BLAKE2b-512 (64)
                 trusted comment: FIELDS
                 signature of (the signature above | FIELDS)

FIELDS are `name:value`, separated by tabs, as minisign's own `timestamp:` (seconds since 1970) and
`file:` are; ours besides is `expires:` (the same).

Source: jedisct1.github.io/minisign, "Key format" and "Signature format".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagebuilder.errors import ImagebuilderError, UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE_TYPE = "application/vnd.on-imagebuilder.signature.v1+minisign"
SUFFIX = ".minisig"
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "
# As minisign writes it; nodes take no other, so that not one bit of a signature can be changed.
_FIRST = "signature from minisign secret key"
_KEY, _HASHED, _CHECKSUM = b"Ed", b"ED", b"B2"
_NO_PASSWORD = b"\0\0"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a signature is checked with; `id` are 8 bytes that signatures repeat."""

    id: bytes
    raw: bytes

    @property
    def line(self) -> str:
        """The key as `minisign -P` takes it."""
        return _encoded(_KEY + self.id + self.raw)

    def to_text(self) -> str:
        """The key file."""
        return f"{_UNTRUSTED}minisign public key {_shown(self.id)}\n{self.line}\n"

    @classmethod
    def from_text(cls, text: str) -> PublicKey:
        """Read a key file, or its second line alone. Raises UserError."""
        data = _decoded(text.strip().splitlines()[-1:])
        if len(data) != 42 or data[:2] != _KEY:
            raise UserError("this is no minisign public key", hint="a public key is like `RWQ...`, 56 letters long")
        return cls(data[2:10], data[10:])


@dataclass(frozen=True, slots=True)
class SecretKey:
    """What signs: `seed` is the secret."""

    id: bytes
    seed: bytes

    @classmethod
    def new(cls) -> SecretKey:
        """A fresh key; its id comes out of its public half."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        private = Ed25519PrivateKey.generate()
        raw = private.public_key().public_bytes_raw()
        return cls(hashlib.blake2b(raw, digest_size=8).digest(), private.private_bytes_raw())

    @property
    def public(self) -> PublicKey:
        """The other half."""
        return PublicKey(self.id, self._private.public_key().public_bytes_raw())

    @property
    def _private(self) -> Ed25519PrivateKey:
        # Imported where it is used: most builds sign nothing.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def to_text(self) -> str:
        """The key file, without a password."""
        secret = self.id + self.seed + self.public.raw
        data = _KEY + _NO_PASSWORD + _CHECKSUM + bytes(32 + 16) + secret + bytes(32)
        return f"{_UNTRUSTED}minisign secret key {_shown(self.id)}\n{_encoded(data)}\n"

    @classmethod
    def from_text(cls, text: str) -> SecretKey:
        """Read a key file. Raises UserError, as for one that has a password."""
        data = _decoded(text.strip().splitlines()[1:2])
        if len(data) != 158 or data[:2] != _KEY:
            raise UserError("this is no minisign secret key", hint="`imagebuilder keygen` makes one")
        if data[2:4] != _NO_PASSWORD:
            raise UserError(
                "this secret key has a password, which a build cannot type",
                hint="`minisign -C -W -s KEY` takes the password off a copy",
            )
        key = cls(data[54:62], data[62:94])
        if key.public.raw != data[94:126]:
            raise UserError("this secret key is damaged: its two halves do not fit")
        return key

    def sign(self, data: bytes, fields: dict[str, str]) -> str:
        """The signature file of `data`; `fields` are signed with it."""
        signature = self._private.sign(hashlib.blake2b(data).digest())
        comment = "\t".join(f"{name}:{value}" for name, value in fields.items())
        whole = self._private.sign(signature + comment.encode())
        body = _encoded(_HASHED + self.id + signature)
        return f"{_UNTRUSTED}{_FIRST}\n{body}\n{_TRUSTED}{comment}\n{_encoded(whole)}\n"


def verify(data: bytes, signature: str, key: PublicKey) -> dict[str, str]:
    """The fields of a signature file that `key` made for `data`. Raises ImagebuilderError when it did not."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    lines = signature.splitlines()
    if len(lines) != 4 or not lines[2].startswith(_TRUSTED):
        raise ImagebuilderError("this is no minisign signature")
    body, comment, whole = _decoded(lines[1:2]), lines[2].removeprefix(_TRUSTED), _decoded(lines[3:4])
    if body[:2] != _HASHED or body[2:10] != key.id:
        raise ImagebuilderError(f"the signature is not of the key {_shown(key.id)}")
    public = Ed25519PublicKey.from_public_bytes(key.raw)
    try:
        public.verify(body[10:], hashlib.blake2b(data).digest())
        public.verify(whole, body[10:] + comment.encode())
    except InvalidSignature:
        raise ImagebuilderError("the signature does not fit") from None
    return {name: value for name, _, value in (field.partition(":") for field in comment.split("\t"))}


def _shown(key_id: bytes) -> str:
    return key_id[::-1].hex().upper()


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decoded(lines: list[str]) -> bytes:
    """The bytes of the one line in `lines`; none for what is not base64."""
    try:
        return base64.b64decode("".join(lines), validate=True)
    except (binascii.Error, ValueError):
        return b""
