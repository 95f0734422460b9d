"""The only source of what nobody can guess."""

from __future__ import annotations

import secrets

BYTES = 12


def new_token() -> str:
    """24 hexadecimal digits: a token, and an identifier as RackHD writes them."""
    return secrets.token_hex(BYTES)
