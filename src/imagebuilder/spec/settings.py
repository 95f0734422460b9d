"""What holds for every image of the tree: suite, architecture, mirror, kernel, folders.

The variables keep their names of 2015 and stand in `group_vars/on_imagebuild`,
beside variables of the user's own that only roles read; so unknown names are no
error here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imagebuilder.spec.config import LISTED, Strings, Text, read_keys
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.yamlfile import Document

# Where tests compare what we install with what mmdebstrap and apt install, file by file.
_PROVEN = frozenset({"bookworm", "trixie"})
_SERVER = re.compile(r"(https?://)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")

UNSEEN = frozenset({"signing_key", "trusted_keys", "signature_days", "strict_portable", "tls_ca"})
"""What roles and templates do not see: an image is the same, whoever signs it or means to unpack it."""

# As snapshot.debian.org and snapshot.ubuntu.com name the moments that they keep.
_SNAPSHOT = re.compile(r"20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3])([0-5][0-9]){2}Z")


def _server(value: Any) -> Any:
    if not isinstance(value, str) or not _SERVER.fullmatch(value):
        raise ValueError(f"`{value}` is not a server; write HOST, HOST:PORT or [IPv6]:PORT")
    return value


def _snapshot(value: Any) -> Any:
    if not isinstance(value, str) or not _SNAPSHOT.fullmatch(value):
        raise ValueError(f"`{value}` is no moment of a snapshot; write it in UTC, `20260101T000000Z`")
    return value


def _days(value: Any) -> Any:
    # What `-e` gives is text.
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _source_line(value: Any) -> str:
    line = value.get("line") if isinstance(value, dict) else value  # 2015: {dest: a file's name, line: ...}
    if not isinstance(line, str) or not re.fullmatch(r"deb\s+(\[[^]]*\]\s+)?\S+\s+\S.*", line.strip()):
        raise ValueError(
            f"`{line}` is no package source; write `deb [signed-by=/a/key.gpg] http://server/path SUITE COMPONENT`"
        )
    return line.strip()


class Settings(BaseModel):
    """The tree's global variables, each with the name that the user writes."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    debootstrap_release: str = Field(default="bookworm", pattern=r"^[a-z][a-z0-9-]*$")
    debootstrap_arch: Literal["amd64", "arm64"] = "amd64"
    apt_server: Annotated[str | None, BeforeValidator(_server)] = None
    snapshot: Annotated[str | None, BeforeValidator(_snapshot)] = None
    kernel_package: str = "linux-image-amd64"
    repository_lists: Annotated[tuple[Annotated[str, BeforeValidator(_source_line)], ...], LISTED] = ()
    bootstrap: Literal["native", "mmdebstrap"] | None = None
    signing_key: str | None = None
    trusted_keys: Strings = ()
    tls_ca: Strings = ()
    signature_days: Annotated[int, BeforeValidator(_days), Field(ge=0)] = 0
    strict_portable: bool = False
    build_artifact_path: str = "../builds"
    build_root_size: Annotated[Text, Field(pattern=r"^[0-9]+[kKmMgG%]?$")] = "8G"

    @property
    def installs_directly(self) -> bool:
        """Whether packages are installed by ourselves, rather than by mmdebstrap and apt."""
        return self.debootstrap_release in _PROVEN if self.bootstrap is None else self.bootstrap == "native"

    @property
    def artifact_folder(self) -> Path:
        """Where finished artifacts go."""
        return Path(self.build_artifact_path)


def read_settings(root: Path, document: Document, variables: Mapping[str, Any]) -> Settings:
    """The settings of the tree at `root` among `variables` (group_vars, then what `-e` gave).

    `document` is where errors point.
    """
    renderer = Renderer(variables)
    given = {name: renderer.value(variables.get(name), document, (name,)) for name in Settings.model_fields}
    settings = read_keys(Settings, {k: v for k, v in given.items() if v not in (None, "")}, document)
    folder = (root / settings.build_artifact_path).resolve()
    return settings.model_copy(update={"build_artifact_path": str(folder)})
