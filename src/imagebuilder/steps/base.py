"""What a step is.

A step is a value: its kind, its version, its own fields and the ids of the
steps it reads. `step_id` is the sha256 of the canonical JSON of these. Bump
`version` when the same fields would yield other bytes.

Two forms exist. A `Step` makes one output, a folder (a *layer*: a root
filesystem or an upperdir) or a file, from the outputs of other steps. An
`Action` changes a root that is open for writing; `steps.provision.Provision`
is the step that runs a list of them on an overlay mount, so that what they
change is a layer of its own.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from imagebuilder import digest
from imagebuilder.host.machine import Chroot, Machine

Inputs = Mapping[str, tuple[Path, ...]]
"""By role (`lower`, `kernel`, ...) the outputs of the steps that were named as inputs, bottom layer first."""

NOT_IDENTITY: Mapping[str, bool] = {"identity": False}
"""`field(metadata=NOT_IDENTITY)`: where a thing is found, as opposed to what it is."""


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A file or folder of the image tree: found at `path`, but known by its content."""

    path: Path = dataclasses.field(metadata=NOT_IDENTITY)
    digest: str

    @classmethod
    def of(cls, path: Path) -> Source:
        """Read and hash what is at `path`."""
        return cls(path, digest.of_tree(path))


class Step(ABC):
    """One output from the outputs of other steps. Subclasses are frozen dataclasses."""

    __slots__ = ()
    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def run(self, machine: Machine, inputs: Inputs, output: Path) -> None:
        """Make `output`: an empty folder to fill when `makes_folder`, else a file to write."""

    makes_folder: ClassVar[bool] = False


class Action(ABC):
    """One change to a root that is open for writing. Subclasses are frozen dataclasses."""

    __slots__ = ()
    kind: ClassVar[str]
    version: ClassVar[int] = 1

    @abstractmethod
    def run(self, machine: Machine, root: Chroot) -> None:
        """Change the root."""


def step_id(step: Step, inputs: Mapping[str, tuple[str, ...]]) -> str:
    """The identity of a step, given the ids of the steps that it reads."""
    return digest.of_value({"step": identity(step), "inputs": {k: list(v) for k, v in inputs.items()}})


def identity(value: Any) -> Any:
    """A step (or any value inside one) as JSON, without the fields that only say where a thing is."""
    match value:
        # The commonest first: a plan has some ten thousand values.
        case str() | int() | float() | bool() | None:
            return value
        case tuple() | list():
            return [identity(v) for v in value]
        case Step() | Action():
            return {"kind": value.kind, "version": value.version, **_fields(value)}
        case _ if dataclasses.is_dataclass(value):
            return _fields(value)
        case Mapping():
            return {str(k): identity(v) for k, v in value.items()}
        case _:
            raise TypeError(f"a step cannot depend on {value!r}")


def _fields(value: Any) -> dict[str, Any]:
    return {
        f.name: identity(getattr(value, f.name)) for f in dataclasses.fields(value) if f.metadata.get("identity", True)
    }
