"""The server's certificate and its key, looked at before anybody connects."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from imagebuilder.errors import UserError
from imagebuilder.host import clock

_PUBLIC = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """For a server that shows a certificate (PEM; those of its authorities behind it) and has its key.

    Raises UserError for files that cannot be used, do not belong together, or are out of date.
    """
    shown = _certificate(certificate)
    if shown.public_key().public_bytes(*_PUBLIC) != _public_key(key):
        raise UserError(f"the key in {key} is not that of the certificate in {certificate}", hint=_hint(shown))
    now = datetime.fromtimestamp(clock.now(), UTC)
    if now > shown.not_valid_after_utc:
        raise UserError(f"the certificate in {certificate} has expired on {shown.not_valid_after_utc:%Y-%m-%d}")
    if now < shown.not_valid_before_utc:
        raise UserError(
            f"the certificate in {certificate} holds from {shown.not_valid_before_utc:%Y-%m-%d} on only",
            hint="is this machine's clock right?",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise UserError(f"{certificate} cannot be used: {error.reason or error}") from None
    return context


def _certificate(path: Path) -> x509.Certificate:
    """The first one of a file: that of the server."""
    try:
        return x509.load_pem_x509_certificates(_read(path))[0]
    except ValueError:
        raise UserError(f"{path} holds no certificate", hint="`--tls-cert` wants a PEM file") from None


def _public_key(path: Path) -> bytes:
    try:
        return load_pem_private_key(_read(path), None).public_key().public_bytes(*_PUBLIC)
    except TypeError:
        hint = f"`openssl pkey -in {path} -out FILE` writes it without"
        raise UserError(f"the key in {path} needs a password, which nobody could give", hint=hint) from None
    except ValueError:
        raise UserError(f"{path} holds no private key", hint="`--tls-key` wants a PEM file") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


def _hint(shown: x509.Certificate) -> str:
    return f"that certificate is of {shown.subject.rfc4514_string() or 'nobody'}; it comes first in its file"
