"""What a bootstrapped root filesystem is to be, whoever makes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagebuilder.resolve.deb import Deb

_DPKG_CONFIGURATION = Path("etc/dpkg/dpkg.cfg.d/on-imagebuilder")


@dataclass(frozen=True, slots=True)
class Rootfs:
    """A folder with suite, packages and all that they need, without what a RAM node never reads.

    `requests` are what the tree asks for (`name` or `name=version`), `debs` is
    everything that they and a minimal system come down to, `excludes` are dpkg
    path patterns, a leading `!` for one that is kept all the same; `sources`
    become the image's /etc/apt/sources.list.
    """

    suite: str
    architecture: str
    requests: tuple[str, ...]
    debs: tuple[Deb, ...]
    excludes: tuple[str, ...]
    sources: tuple[str, ...]
    epoch: int

    @property
    def dpkg_options(self) -> list[str]:
        """dpkg.cfg lines; an include has to come after the excludes that it pierces."""
        dropped = [f"path-exclude={pattern}" for pattern in self.excludes if not pattern.startswith("!")]
        kept = [f"path-include={pattern[1:]}" for pattern in self.excludes if pattern.startswith("!")]
        return dropped + kept

    def configure(self, root: Path) -> None:
        """Our own configuration of dpkg and apt, and a file system table for whoever adds to it."""
        (root / _DPKG_CONFIGURATION).parent.mkdir(parents=True, exist_ok=True)
        (root / _DPKG_CONFIGURATION).write_text("".join(f"{option}\n" for option in self.dpkg_options), "utf-8")
        (root / "etc/fstab").write_text("# Nothing but what lies in RAM.\n")
        (root / "etc/apt").mkdir(exist_ok=True)
        (root / "etc/apt/sources.list").write_text("".join(f"{line}\n" for line in self.sources), "utf-8")
