"""What holds for every image of the tree: suite, architecture, mirror, kernel, folders.

The variables keep their names of 2015 and stand in `group_vars/on_imagebuild`,
beside variables of the user's own that only roles read; so unknown names are no
error here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from imagebuilder.spec.config import Strings, read_keys
from imagebuilder.spec.template import Renderer
from imagebuilder.spec.yamlfile import Document

_HOST_AND_PORT = r"^(https?://)?[A-Za-z0-9.-]+(:[0-9]{1,5})?$|^(https?://)?\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?$"


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int) else value


class Settings(BaseModel):
    """The tree's global variables, each with the name that the user writes."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    debootstrap_release: str = Field(default="bookworm", pattern=r"^[a-z][a-z0-9-]*$")
    debootstrap_arch: Literal["amd64", "arm64"] = "amd64"
    apt_server: str | None = Field(default=None, pattern=_HOST_AND_PORT)
    kernel_package: str = "linux-image-amd64"
    repository_lists: Strings = ()
    build_artifact_path: str = "{{ playbook_dir }}/../builds"
    build_root_size: Annotated[str, BeforeValidator(_text)] = Field(default="8G", pattern=r"^[0-9]+[kKmMgG%]?$")

    @property
    def artifact_folder(self) -> Path:
        """Where finished artifacts go."""
        return Path(self.build_artifact_path).resolve()


def read_settings(document: Document, variables: dict[str, Any]) -> Settings:
    """The settings among `variables` (group_vars, then what `-e` gave); `document` is where errors point."""
    renderer = Renderer(variables)
    names = Settings.model_fields
    given = {name: variables.get(name, names[name].default) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    return read_keys(
        Settings, {name: renderer.value(value, document, (name,)) for name, value in given.items()}, document
    )
