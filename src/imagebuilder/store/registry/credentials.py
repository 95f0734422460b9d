"""Who we are at a registry: a name and a password, given, or kept where `docker login` keeps them.

Source: docs.docker.com/reference/cli/docker/login (`auths` of config.json).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagebuilder.errors import UserError


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user of a registry."""

    username: str
    password: str

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def config_file(environment: Mapping[str, str], home: Path) -> Path:
    """Where docker's clients keep passwords."""
    folder = environment.get("DOCKER_CONFIG")
    return (Path(folder) if folder else home / ".docker") / "config.json"


def kept_credentials(config: Path, host: str) -> Credentials | None:
    """Those that the file has for a registry. Raises UserError for a file that cannot be read."""
    try:
        entries = json.loads(config.read_text()).get("auths", {})
        entry = entries.get(host) or entries.get(f"https://{host}") or {}
        username, colon, password = base64.b64decode(entry.get("auth", ""), validate=True).decode().partition(":")
    except FileNotFoundError:
        return None
    except (ValueError, AttributeError) as error:
        raise UserError(f"{config} is not understood: {error}", hint="it is written by `docker login`") from None
    return Credentials(username, password) if colon else None
