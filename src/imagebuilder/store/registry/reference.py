"""`HOST[:PORT]/REPOSITORY[:TAG][@sha256:HEX]`: an image in a registry, as users write it.

Source: github.com/opencontainers/distribution-spec, spec.md (names, tags).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from imagebuilder.errors import UserError

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    r"(?P<host>localhost|\[[0-9a-fA-F:]+\]|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:\d))(?P<port>:\d+)?"
    rf"/(?P<repository>{_PART}(?:/{_PART})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?P<digest>@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in a registry: `host` with its port; `tag` and `digest` (`sha256:HEX`) are "" where none was written."""

    host: str
    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read one. Raises UserError for what is none."""
        match = _REFERENCE.fullmatch(text)
        if not match:
            raise UserError(
                f"`{text}` names nothing in a registry",
                hint="write HOST[:PORT]/REPOSITORY[:TAG], all but the tag in lower case: "
                "`registry.example.net/images/discovery:stable`",
            )
        host = match["host"] + (match["port"] or "")
        return cls(host, match["repository"], match["tag"] or "", (match["digest"] or "").removeprefix("@"))

    @property
    def image(self) -> str:
        """The last part of the repository: what the image is called."""
        return self.repository.rpartition("/")[2]

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"
