"""One exact Debian package, as a step depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Deb:
    """A package file: `file_name` in the shared archive folder, `size` in bytes, `sha256` in hex."""

    name: str
    version: str
    architecture: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        """The name that apt gives the file in its archive folder (an epoch's colon is escaped)."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"

    @property
    def exact(self) -> str:
        """What apt calls exactly this package."""
        qualifier = "" if self.architecture == "all" else f":{self.architecture}"
        return f"{self.name}{qualifier}={self.version}"
